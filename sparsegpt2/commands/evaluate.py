"""`sparsegpt2 evaluate CIRCUIT`: check whether a circuit is faithful to its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.settings import Parser, settings_from, torch_device
from sparsegpt2.settings.device import DEVICE_HELP

if TYPE_CHECKING:
    from torch import Tensor

    from sparsegpt2.circuits import Circuit, Task
    from sparsegpt2.evidence import EvidenceConfig, Report
    from sparsegpt2.text.tokenizer import Tokenizer


def evaluate_parser() -> Parser:
    """The parser of the settings of `evaluate`."""
    from sparsegpt2.evidence.config import EvidenceConfig

    parser = Parser(
        "evaluate CIRCUIT",
        "Check whether a circuit is faithful to its model. Each check gives a verdict, and a summary combines them.",
    )
    parser.positional("circuit", "A circuit file written by `prune` or `bench`.")
    parser.add_settings(EvidenceConfig)
    parser.add("model", str, "", help="The circuit's model; by default the one named in the circuit's file.")
    parser.add("task", str, "", help="The circuit's task; by default the one named in the circuit's file.")
    parser.add("pruner", str, "", help="FILE.py of the pruner that found the circuit, if the pruner is your own.")
    parser.add("text", str, "", help="Text to use instead of the model's training text.", metavar="FILE")
    parser.add("out", str, "", help="File to write the report to; by default CIRCUIT.evidence.json.", metavar="FILE")
    parser.add("device", str, "auto", help=DEVICE_HELP)
    parser.alias(check="checks")
    own = {option.name: option.help for option in parser.options.values() if option.help}
    parser.front(
        "What to check",
        checks="Names of the checks to run; by default all.",
        expensive="Also run the expensive checks, which train or prune again.",
        pairs="Number of prompt pairs that each loss is measured on.",
        seeds="Number of pruning seeds whose circuits the check `seeds` compares.",
        seed="Seed for prompt pairs and for everything else that is random.",
    )
    parser.front("The circuit and its report", own)
    return parser


def evaluate(arguments: list[str]) -> None:
    """Check whether a circuit is faithful to its model, and print and save the report."""
    settings = evaluate_parser().parse(arguments)

    from sparsegpt2.circuits import Circuit
    from sparsegpt2.circuits.locate import circuit_model
    from sparsegpt2.evidence import EvidenceConfig, collect_evidence, report_path
    from sparsegpt2.files import check_writable
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.text.training_text import training_text

    config = settings_from(settings, EvidenceConfig)
    circuit = Circuit.load(settings.circuit)
    directory = circuit_model(circuit, settings.circuit, settings.model)
    model = load_model(directory, torch_device(settings.device))
    tokenizer = Tokenizer.load(directory)
    task = _task(settings, circuit, tokenizer)
    _check_pruner(settings, circuit, config)
    text, source = None, "pretraining text"
    if settings.text:
        text, source = read_text(settings.text, tokenizer, model.config.context, config.text_rows), settings.text
    else:
        text = training_text(directory, config.text_rows, model.config.context)
    out = Path(settings.out or report_path(settings.circuit))
    check_writable(out)
    with ProgressDisplay(f"evaluate {task.name}") as progress:
        report = collect_evidence(
            model,
            task,
            circuit,
            config,
            text=text,
            text_source=source,
            path=out,
            about={"circuit": settings.circuit, "model": str(directory)},
            progress=progress,
        )
    _print_report(report, out)


def _task(settings: Any, circuit: Circuit, tokenizer: Tokenizer) -> Task:
    """The task that the user gives, or else the one named in the circuit's file.

    A name read from a file may only be the name of a built-in or installed task. So opening a circuit never runs code
    from a file that someone else chose.
    """
    from eval_tasks.registry import get_task
    from sparsegpt2.circuits.task import Unposable

    if settings.task:
        return get_task(settings.task, tokenizer)
    named = circuit.info.task
    if not named:
        raise UserError(f"{settings.circuit} does not name its task; give it with --task")
    try:
        return get_task(str(named), tokenizer, trusted=False)
    except Unposable:
        raise
    except UserError as error:
        raise UserError(f"{settings.circuit} names its task, but {error}; give it with --task FILE.py") from None


def _check_pruner(settings: Any, circuit: Circuit, config: EvidenceConfig) -> None:
    """Raise `UserError` early if a check will prune again but the circuit's pruner cannot be found.

    A pruner that is named in the circuit's file must be a built-in or installed one, so that opening a circuit never
    runs code from a file that someone else chose. Users must give the file of their own pruner with --pruner.
    """
    from sparsegpt2.circuits.pruners import get_pruner, plain_pruner
    from sparsegpt2.evidence.collect import chosen_checks

    if settings.pruner:
        get_pruner(settings.pruner)
    elif {"controls", "seeds"} & set(chosen_checks(config)):
        try:
            get_pruner(plain_pruner(circuit.info.pruner or "node"))
        except UserError as error:
            raise UserError(
                f"{settings.circuit} names its pruner, but {error}; give it with --pruner FILE.py"
            ) from None


def read_text(path: str | Path, tokenizer: Tokenizer, context: int, rows: int) -> Tensor:
    """The first windows of a text file as token ids, an int64 tensor [at most `rows`, context].

    `UserError` if the file cannot be read as UTF-8 or is shorter than one window.
    """
    import torch

    from sparsegpt2 import plain

    tokens = torch.tensor(tokenizer.encode(plain.read_text(path, "text file")))
    windows = len(tokens) // context
    if not windows:
        raise UserError(f"text file {path} has {len(tokens)} tokens; at least one window of {context} is needed")
    return tokens[: windows * context].view(windows, context)[:rows]


def _print_report(report: Report, out: Path) -> None:
    about = report.about
    print(f"circuit   {about['circuit']}: {about['nodes']} nodes, {about['edges']} edges of {about['model']}")
    print(f"task      {about['task']}  pruner {about['pruner']}  seed {about['seed']}  target {about['target_loss']:g}")
    print(f"text      {about['text']}\n")
    for name, finding in report.findings.items():
        print(f"{name:<15}{finding.verdict:<9}{finding.says}")
    print(f"\n{report.summary()}\nwritten   {out}")
