"""`sparsegpt2 prune MODEL --task NAME`: the circuit of one task in one model."""

from __future__ import annotations

import sys
from pathlib import Path

from sparsegpt2.settings import add_settings, leading, make_parser, parse, settings_from


def prune(arguments: list[str]) -> None:
    """Find the circuit of one task in one model, write it and its curve, and score it on the task's test split."""
    from eval_tasks.registry import get_task
    from sparsegpt2.circuits import PruneConfig, evaluate, find_circuit
    from sparsegpt2.circuits.locate import name_model
    from sparsegpt2.circuits.pruners import named_plainly
    from sparsegpt2.circuits.tune import tune
    from sparsegpt2.locate import is_published, model_directory
    from sparsegpt2.model.checkpoint import load_model, model_fingerprint
    from sparsegpt2.report.board import log_curve
    from sparsegpt2.text.tokenizer import Tokenizer

    model_path, arguments = leading(arguments, "prune", "a model: sparsegpt2 prune MODEL --task NAME")
    parser = make_parser("sparsegpt2 prune MODEL", prune.__doc__ or "")
    add_settings(parser, PruneConfig)
    parser.add_argument("--task", type=str, required=True, help="A task, or your own: FILE.py or MODULE:ATTRIBUTE.")
    parser.add_argument("--out", type=str, default="", help="Circuit file; default circuits/TASK.json of the run.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device.")
    parser.add_argument("--tune", type=int, default=0, help="Trials of a search for the best settings; 0: none.")
    settings = parse(parser, arguments)
    directory = model_directory(model_path[0])
    model = load_model(directory, settings.device)
    tokenizer = Tokenizer.load(directory)
    task = get_task(settings.task, tokenizer)
    out = Path(settings.out or _circuits_of(model_path[0]) / f"{task.name}.json")
    config, progress = named_plainly(settings_from(settings, PruneConfig)), _progress_line()
    if settings.tune:
        study = " ".join([str(directory), task.name, str(config)])  # other settings, another search
        tuned = tune(model, task, config, settings.tune, out.with_suffix(".journal"), name=study, progress=progress)
        config = tuned.config
        print(f"tuned     {len(tuned.trials)} trials, {tuned.edges:g} edges on validation pairs at best")
    circuit = find_circuit(model, task, config, progress)
    score = evaluate(model, task, circuit)
    model_named = model_path[0] if is_published(model_path[0]) else directory
    name_model(circuit, model_named, out, model_fingerprint(model, tokenizer))
    circuit.save(out)
    log_curve(circuit, circuit.edges(model), out.parent / "tensorboard" / out.stem)
    _report(circuit, model, score, out)


def _circuits_of(model: str) -> Path:
    """Where circuits of a model go by default: into its run, or the working folder when it is a published one.

    Not into the checkpoint, which is replaced as a whole when the run saves a better one.
    """
    from eval_tasks.bench.subjects import short_names
    from sparsegpt2.locate import is_published, model_directory, run_folder

    if is_published(model):
        return Path("circuits", short_names([model])[0])
    return run_folder(model_directory(model)) / "circuits"


def _progress_line():  # type: ignore[no-untyped-def]
    """Shows how far pruning is, on one line of a terminal; nothing elsewhere."""

    def show(done: int, total: int, text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[2K{text}  {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


def _report(circuit, model, score, out: Path) -> None:  # type: ignore[no-untyped-def]
    """What came out, in a few lines."""
    info = circuit.info
    print(f"task      {info['task']}  pruner {info['pruner']}  seed {info['seed']}  {info['seconds']:.1f} s")
    met = "met" if info["reached"] else "NOT met, this is the whole model"
    print(f"target    {info['target_loss']:g} nats on validation pairs: {met} ({info['validation_loss']:.3f})")
    print(
        f"circuit   {circuit.n_nodes} nodes, {circuit.edges(model)} edges "
        f"({circuit.trimmed(model).edges(model)} after trimming)"
    )
    print(
        f"test      loss {score.loss:.3f} ± {score.loss_error:.3f}, accuracy {score.accuracy:.3f}; "
        f"whole model {score.loss_full:.3f}, {score.accuracy_full:.3f} ({score.pairs} pairs)"
    )
    print(f"sites     {', '.join(f'{site} {count}' for site, count in circuit.nodes_per_site().items() if count)}")
    print(f"written   {out}")
