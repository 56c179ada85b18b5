"""`sparsegpt2 view CIRCUIT|RUN`: write an HTML page that shows a circuit, or a run with its circuits."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.settings import Parser, settings_from

if TYPE_CHECKING:
    from sparsegpt2.circuits import Circuit, Task
    from sparsegpt2.model.gpt import GPT
    from sparsegpt2.viewer import CircuitData, RunData, ViewConfig


def view_parser() -> Parser:
    """The parser of the settings of `view`."""
    from sparsegpt2.viewer.config import ViewConfig

    parser = Parser(
        "view CIRCUIT|RUN",
        "Write a page that shows a circuit, or a run with its circuits, as one HTML file that opens in any browser.",
    )
    parser.positional(
        "path", "A circuit file written by `prune` or `bench`, a run, or a results folder.", metavar="CIRCUIT|RUN"
    )
    parser.add("out", str, "", help="File for the page; by default next to the circuit, or in the run.", metavar="FILE")
    parser.add("text", bool, False, help="Print the circuit in the terminal instead of writing a page.")
    parser.add("model", str, "", help="The circuit's model; by default the one named in the circuit's file.")
    parser.add("task", str, "", help="FILE.py of the circuit's task, if the task is your own.")
    parser.add("notes", str, "", help="File of labels and notes that was exported from such a page.", metavar="FILE")
    parser.add(
        "evidence",
        str,
        "",
        help="JSON file of a report to show; by default all reports next to the circuit.",
        metavar="FILE",
    )
    parser.add("corpus", str, "", help="Text on which activations are shown: name of a corpus, or files.")
    parser.add("circuits", int, 24, help="Largest number of circuits of a run on the page.")
    parser.add_settings(ViewConfig)
    parser.front(
        "How much to show",
        max_nodes="Largest number of nodes of a circuit on the page.",
        windows="Number of windows of corpus text on which activations are shown; 0: none.",
    )
    return parser


def view(arguments: list[str]) -> None:
    """Write a page that shows a circuit, or a run with its circuits, as one HTML file that opens in any browser."""
    settings = view_parser().parse(arguments)

    from sparsegpt2.files import check_writable, read_json
    from sparsegpt2.viewer import ViewConfig, page_data, read_notes, write_page

    path = Path(settings.path)
    if settings.text:
        list_in_terminal(path, settings.model)
        return
    config = settings_from(settings, ViewConfig)
    out = Path(settings.out) if settings.out else path / "view.html" if path.is_dir() else path.with_suffix(".html")
    check_writable(out)
    if settings.notes:
        read_json(settings.notes, "notes file")  # fails early if it can't be read; it is used below
    circuits, run = (
        view_run(path, settings, config) if path.is_dir() else ([view_circuit(path, settings, config)], None)
    )
    notes = read_notes(settings.notes, [circuit["name"] for circuit in circuits]) if settings.notes else None
    size = write_page(out, page_data(circuits, run, notes))
    print(f"{out}  {size / 1e6:.1f} MB, {len(circuits)} circuit{'' if len(circuits) == 1 else 's'}")


def list_in_terminal(path: Path, model: str) -> None:
    """Print a circuit's nodes in forward order, with their edges and the tokens they read or write."""
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.circuits.locate import circuit_model
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.viewer.listing import list_circuit

    circuit = Circuit.load(path)
    directory = circuit_model(circuit, path, model)
    for line in list_circuit(circuit, load_model(directory), Tokenizer.load(directory)):
        print(line)


def view_circuit(path: Path, settings: Any, config: ViewConfig) -> CircuitData:
    """Gather what a page shows of the circuit in a file, with the settings of the command."""
    from sparsegpt2.circuits import Circuit

    model, task, corpus, report = settings.model, settings.task, settings.corpus, settings.evidence
    return gather_circuit(Circuit.load(path), path, config, model=model, task=task, corpus=corpus, evidence=report)


def gather_circuit(
    circuit: Circuit,
    file: Path | None,
    config: ViewConfig,
    *,
    model: GPT | str | Path | None = None,
    task: Task | str | None = None,
    corpus: str = "",
    evidence: str | Path = "",
) -> CircuitData:
    """Gather what a page shows of one circuit.

    file: the circuit's file, if it has one. model, task: by default those named in the circuit. corpus: the text on
    which activations are shown, as the name of a corpus or as files; by default the model's training text. evidence:
    the file of a report; by default all reports next to the circuit's file.

    If the task named in the circuit cannot be found, the page is made without it, and a line on stderr says so.
    `UserError` if `task` is given but cannot be found, or if the model has no tokenizer.
    """
    from eval_tasks.bench.subjects import short_names
    from eval_tasks.registry import get_task
    from sparsegpt2.circuits.locate import circuit_model
    from sparsegpt2.files import read_json
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.model.gpt import GPT
    from sparsegpt2.text.sample import some_text, text_to_look_at
    from sparsegpt2.viewer import Viewed, circuit_data, evidence_beside

    if not isinstance(model, GPT):
        model = load_model(circuit_model(circuit, file or "the circuit", str(model or "")))
    tokenizer = model.tokenizer
    if tokenizer is None:
        raise UserError("the model has no tokenizer, so its tokens cannot be shown; set model.tokenizer")
    try:
        named = task or circuit.info.task or ""
        if isinstance(named, str) and named:
            named = get_task(named, tokenizer, trusted=bool(task))
        posed = named or None
    except UserError as error:
        if task:
            raise
        print(f"the page is made without the task, because {error}; give it with --task FILE.py", file=sys.stderr)
        posed = None
    text, text_name = None, ""
    if config.windows and model.folder is not None:
        text, text_name = text_to_look_at(model.folder, config.windows, model.config.context, corpus)
    elif config.windows:
        text, text_name = some_text(tokenizer, config.windows, model.config.context, corpus)
    subject = Viewed(
        model=model,
        name=short_names([model.folder])[0] if model.folder else "a model",
        tokenizer=tokenizer,
        task=posed,
        corpus=text,
        corpus_name=text_name,
    )
    reports = (
        {Path(evidence).name: read_json(evidence, "report")} if evidence else evidence_beside(file) if file else {}
    )
    with ProgressDisplay(circuit.info.task or "circuit") as progress:
        return circuit_data(circuit, subject, config, file=file or "", evidence=reports, progress=progress)


def view_run(folder: Path, settings: Any, config: ViewConfig) -> tuple[list[CircuitData], RunData]:
    """Gather what a page shows of a run, with the settings of the command."""
    model, task, corpus = settings.model, settings.task, settings.corpus
    return gather_run(folder, config, model=model, task=task, corpus=corpus, most=settings.circuits)


def gather_run(
    folder: Path,
    config: ViewConfig,
    *,
    model: GPT | str | Path | None = None,
    task: Task | str | None = None,
    corpus: str = "",
    most: int = 24,
) -> tuple[list[CircuitData], RunData]:
    """Gather what a page shows of a run: training curves, comparison of models, and some of its circuits.

    most: largest number of circuits. The first ones in the order of `circuit_files` are shown. Because the circuits
    share one page, less is shown of each: no corpus activations, no attention patterns and at most 4 example pairs.
    """
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.viewer import circuit_files, run_data, run_results

    rows = run_results(folder)
    run_data(folder, rows, {})  # fails for a folder that is not a run, before the slow part begins
    files = circuit_files(folder, rows)
    shown, left = files[:most], files[most:]
    light = replace(config, windows=0, pattern_bytes=0, effect_pairs=min(4, config.effect_pairs), examples=4)
    circuits = [
        gather_circuit(Circuit.load(file), file, light, model=model, task=task, corpus=corpus) for file in shown
    ]
    why = f"Not on this page: {len(left)} more circuits. Use --circuits to include them." if left else ""
    return circuits, run_data(folder, rows, {str(file): place for place, file in enumerate(shown)}, why)
