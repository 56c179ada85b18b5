"""The commands `tasks`, `prune`, `bench` and `evaluate`; also `python -m eval_tasks COMMAND`."""

from __future__ import annotations

import sys
from pathlib import Path

from eval_tasks.bench.evidence import TextOf, evaluate
from eval_tasks.registry import TaskEntry
from sparsegpt2.errors import UserError
from sparsegpt2.settings import add_settings, make_parser, parse, settings_from


def tasks(arguments: list[str]) -> None:
    """List the tasks: what each asks, two example pairs, or why the tokenizer can't pose it."""
    from eval_tasks.registry import ENGLISH, describe, task_names
    from sparsegpt2.text.tokenizer import Tokenizer

    parser = make_parser("sparsegpt2 tasks", tasks.__doc__ or "")
    parser.add_argument("--tokenizer", type=str, required=True, help="A tokenizer.json, or a folder that holds one.")
    parser.add_argument("--examples", type=int, default=2, help="Example pairs of each task.")
    parser.add_argument("names", nargs="*", type=str, default=[], help="Tasks, or files of your own; all by default.")
    settings = parse(parser, arguments)
    tokenizer = Tokenizer.load(_tokenizer(settings.tokenizer))
    entries = describe(tokenizer, settings.examples, settings.names or None)
    _list(entries)
    print(f"{_posable(entries)} of {len(entries)} tasks can be posed with this tokenizer")
    if not settings.names:
        english = describe(tokenizer, settings.examples, task_names(ENGLISH))
        print("\nTasks in English, for tokenizers with its words, such as GPT-2's; run when they are named:\n")
        _list(english)
        print(f"{_posable(english)} of {len(english)} tasks in English can be posed with this tokenizer")


def _list(entries: list[TaskEntry]) -> None:
    for entry in entries:
        print(f"{entry.name}: {entry.description}")
        if entry.reason is not None:
            print(f"    can't be posed: {entry.reason}")
        for pair in entry.pairs:
            for side in (pair.left, pair.right):
                print(f"    {side.prompt!r} -> {'anything else' if side.answer is None else repr(side.answer)}")


def _posable(entries: list[TaskEntry]) -> int:
    return sum(entry.reason is None for entry in entries)


def prune(arguments: list[str]) -> None:
    """Find the circuit of one task in one model, write it and its curve, and score it on the task's test split."""
    from eval_tasks.registry import get_task
    from sparsegpt2.circuits import PruneConfig, evaluate, find_circuit
    from sparsegpt2.circuits.tune import tune
    from sparsegpt2.model.checkpoint import is_published, load_model, model_directory
    from sparsegpt2.report.board import log_curve
    from sparsegpt2.text.tokenizer import Tokenizer

    model_path, arguments = _leading(arguments, "prune", "a model: sparsegpt2 prune MODEL --task NAME")
    parser = make_parser("sparsegpt2 prune MODEL", prune.__doc__ or "")
    add_settings(parser, PruneConfig)
    parser.add_argument("--task", type=str, required=True, help="Name of a task, or a task file of your own.")
    parser.add_argument("--out", type=str, default="", help="Circuit file; default circuits/TASK.json of the model.")
    parser.add_argument("--device", type=str, default="cpu", help="Torch device.")
    parser.add_argument("--tune", type=int, default=0, help="Trials of a search for the best settings; 0: none.")
    settings = parse(parser, arguments)
    directory = model_directory(model_path[0])
    model = load_model(directory, settings.device)
    task = get_task(settings.task, Tokenizer.load(directory))
    out = Path(settings.out or _circuits_of(model_path[0]) / f"{task.name}.json")
    config, progress = settings_from(settings, PruneConfig), _progress_line()
    if settings.tune:
        study = " ".join([str(directory), task.name, str(config)])  # other settings, another search
        tuned = tune(model, task, config, settings.tune, out.with_suffix(".journal"), name=study, progress=progress)
        config = tuned.config
        print(f"tuned     {len(tuned.trials)} trials, {tuned.edges:g} edges on validation pairs at best")
    circuit = find_circuit(model, task, config, progress)
    score = evaluate(model, task, circuit)
    circuit.info["model"] = model_path[0] if is_published(model_path[0]) else str(directory)
    circuit.save(out)
    log_curve(circuit, circuit.edges(model), out.parent / "tensorboard" / out.stem)
    _report(circuit, model, score, out)


def bench(arguments: list[str], text_of: TextOf | None = None) -> None:
    """Benchmark models: a row of results and a circuit for each model, task, pruner, seed and target loss."""
    from eval_tasks.bench.benchmark import BenchConfig
    from eval_tasks.bench.benchmark import bench as run_bench
    from eval_tasks.bench.discover import print_circuits
    from eval_tasks.registry import task_names
    from sparsegpt2.circuits import PruneConfig
    from sparsegpt2.components import get_method
    from sparsegpt2.evidence import EvidenceConfig

    models, arguments = _leading(arguments, "bench", "models: sparsegpt2 bench MODEL... --out DIR")
    parser = make_parser("sparsegpt2 bench MODEL...", bench.__doc__ or "")
    add_settings(parser, BenchConfig)
    parser.add_class_arguments(PruneConfig, "prune", skip={"pruner", "seed"})
    parser.add_class_arguments(EvidenceConfig, "check")
    parser.add_argument("--components", type=str, default="", help="Methods of `discover` to run too, with commas.")
    parser.add_argument("--out", type=str, required=True, help="Results folder: results.jsonl and circuits/.")
    settings = parse(parser, arguments)
    methods = [name for name in settings.components.split(",") if name]
    for method in methods:
        get_method(method)  # a wrong name is said before anything long begins
    run_bench(list(models), settings.out, settings_from(settings, BenchConfig), settings.prune, settings.check, text_of)
    for method in methods:
        print_circuits(models, settings.tasks or task_names(), method, out=settings.out, test_pairs=settings.test_pairs)


COMMANDS = {"tasks": tasks, "prune": prune, "bench": bench, "evaluate": evaluate}


def _leading(arguments: list[str], command: str, wanted: str) -> tuple[list[str], list[str]]:
    """Split off the arguments before the first flag or YAML file; none is a `UserError`."""
    count = 0
    while count < len(arguments) and not arguments[count].startswith("-") and not arguments[count].endswith(".yaml"):
        count += 1
    if not count and not {"-h", "--help"} & set(arguments):
        raise UserError(f"{command} needs {wanted}")
    return arguments[:count], arguments[count:]


def _tokenizer(path: str) -> Path:
    """A model, a run or a tokenizer file: the place its tokenizer lies."""
    from sparsegpt2.model.checkpoint import model_directory

    given = Path(path)
    return given if given.is_file() or (given / "tokenizer.json").exists() else model_directory(given)


def _circuits_of(model: str) -> Path:
    """Where circuits of a model go by default: beside it, or into the working folder when it is a published one."""
    from eval_tasks.bench.subjects import short_names
    from sparsegpt2.model.checkpoint import is_published, model_directory

    return Path("circuits", short_names([model])[0]) if is_published(model) else model_directory(model) / "circuits"


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
