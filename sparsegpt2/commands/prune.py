"""`sparsegpt2 prune MODEL --task NAME`: find the circuit of one task in one model."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.settings import Parser, settings_from, torch_device
from sparsegpt2.settings.device import DEVICE_HELP


def prune_parser() -> Parser:
    """The parser of the settings of `prune`."""
    from sparsegpt2.circuits.config import PruneConfig

    parser = Parser(
        "prune MODEL --task NAME",
        "Find the circuit of one task in one model, save it with its curve of loss against size, and score it on test "
        "pairs.",
    )
    parser.positional("model", "A model or a run.")
    parser.add_settings(PruneConfig)
    parser.add(
        "task",
        str,
        help="Name of a task, or your own task as FILE.py or MODULE:ATTRIBUTE.",
        metavar="NAME",
        required=True,
    )
    parser.add("out", str, "", help="File for the circuit; by default circuits/TASK.json in the run.", metavar="FILE")
    parser.add("device", str, "auto", help=DEVICE_HELP)
    parser.add("tune", int, 0, help="Number of trials in a search for the best settings; 0: no search.")
    parser.front(
        "What to find",
        task="Name of a task (`sparsegpt2 tasks MODEL` lists them), or a file with your own task.",
        target_loss="Largest task loss that the circuit may have, in nats; guessing gives 0.693.",
        pruner="node, edge, attribution, stochastic or random. node+trim also removes unneeded nodes and edges.",
        out="File for the circuit; by default circuits/TASK.json in the run.",
    )
    parser.front(
        "How",
        steps="Largest number of training steps for the gates, which decide what is kept.",
        pairs="Number of prompt pairs in a training batch.",
        lr="Learning rate of the gates.",
        tune="Number of trials in a search for the best settings; 0: no search.",
        seed="Seed for the initial gates and the training pairs.",
        device=DEVICE_HELP,
    )
    return parser


def prune(arguments: list[str]) -> None:
    """Find the circuit of one task in one model, save it, and score it on test pairs."""
    settings = prune_parser().parse(arguments)

    from eval_tasks.registry import get_task
    from sparsegpt2.circuits import PruneConfig, evaluate, find_circuit
    from sparsegpt2.circuits.locate import name_model
    from sparsegpt2.circuits.pruners import named_plainly
    from sparsegpt2.circuits.tune import tune
    from sparsegpt2.files import check_writable
    from sparsegpt2.locate import is_published, model_directory
    from sparsegpt2.model.checkpoint import load_model, model_fingerprint
    from sparsegpt2.report.board import log_curve
    from sparsegpt2.text.tokenizer import Tokenizer

    config, device = named_plainly(settings_from(settings, PruneConfig)), torch_device(settings.device)
    directory = model_directory(settings.model)
    model = load_model(directory, device)
    tokenizer = Tokenizer.load(directory)
    task = get_task(settings.task, tokenizer)
    out = Path(settings.out or _circuits_of(settings.model) / f"{task.name}.json")
    check_writable(out)
    with ProgressDisplay(task.name) as progress:
        if settings.tune:
            study = " ".join(
                [str(directory), task.name, str(config)]
            )  # a search with other settings is a different study
            tuned = tune(model, task, config, settings.tune, out.with_suffix(".journal"), name=study, progress=progress)
            config = tuned.config
            progress.line(f"tuned     {len(tuned.trials)} trials; the best on validation pairs: {tuned.edges:g} edges")
        circuit = find_circuit(model, task, config, progress)
    score = evaluate(model, task, circuit)
    model_named = settings.model if is_published(settings.model) else directory
    circuit = name_model(circuit, model_named, out, model_fingerprint(model, tokenizer))
    circuit.save(out)
    log_curve(circuit, circuit.edges(model), out.parent / "tensorboard" / out.stem)
    _report(circuit, model, score, out)


def _circuits_of(model: str) -> Path:
    """The default folder for circuits: `circuits` in the model's run, or `circuits/NAME` for a published model.

    The second is in the working directory. The folder is never in a checkpoint, because a checkpoint is replaced as a
    whole when the run saves a better one.
    """
    from eval_tasks.bench.subjects import short_names
    from sparsegpt2.files import inside
    from sparsegpt2.locate import is_published, model_directory, run_folder

    if is_published(model):
        return Path("circuits", short_names([model])[0])
    return inside(run_folder(model_directory(model)), "circuits")


def _report(circuit, model, score, out: Path) -> None:  # type: ignore[no-untyped-def]
    """Print facts about the circuit, and its score on test pairs."""
    info = circuit.info
    print(f"task      {info.task}  pruner {info.pruner}  seed {info.seed}  {info.seconds:.1f} s")
    met = "met" if info.reached else "NOT met; this is the whole model"
    print(f"target    {info.target_loss:g} nats on validation pairs: {met} ({info.validation_loss:.3f})")
    print(
        f"circuit   {circuit.n_nodes} nodes, {circuit.edges(model)} edges "
        f"({circuit.trimmed(model).edges(model)} without dangling nodes)"
    )
    print(
        f"test      loss {score.loss:.3f} ± {score.loss_error:.3f}, accuracy {score.accuracy:.3f}; "
        f"whole model {score.loss_full:.3f}, {score.accuracy_full:.3f} ({score.pairs} pairs)"
    )
    print(f"sites     {', '.join(f'{site} {count}' for site, count in circuit.nodes_per_site().items() if count)}")
    print(f"saved     {out}")
