"""The command `sparsegpt2`. It alone sees training and tasks together, and nothing imports it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.settings import add_settings, make_parser, parse, progress_bar, run_commands, settings_from

if TYPE_CHECKING:
    from sparsegpt2.viewer import CircuitData, RunData, ViewConfig

CONFIGS = Path(__file__).parent.parent / "configs"
QUICKSTART = ("dense", "sparse-128", "sparse-256")
"""From the quickest to train to the slowest, which takes about as long as the others together."""


def train(arguments: list[str]) -> None:
    """Train a model from YAML settings and flags; the same command goes on where it stopped."""
    from sparsegpt2.commands.train import main as train_main

    train_main(arguments)


def tasks(arguments: list[str]) -> None:
    """List the tasks, with examples, and why a tokenizer can't pose one."""
    from sparsegpt2.commands.tasks import tasks as list_tasks

    list_tasks(arguments)


def prune(arguments: list[str]) -> None:
    """Find the circuit of one task in one model."""
    from sparsegpt2.commands.tasks import prune as prune_task

    prune_task(arguments)


def bench(arguments: list[str]) -> None:
    """Benchmark models x tasks x pruners x target losses into results.jsonl."""
    from sparsegpt2.commands.tasks import bench as bench_models
    from sparsegpt2.text.training_text import training_text

    bench_models(arguments, training_text)


def evaluate(arguments: list[str]) -> None:
    """Report whether to believe a circuit: every check of its faithfulness, and one line that sums up."""
    from eval_tasks.bench.evidence import evaluate as evaluate_circuit
    from sparsegpt2.text.training_text import training_text

    evaluate_circuit(arguments, training_text)


def discover(arguments: list[str]) -> None:
    """Find circuits of components (heads, MLPs) of a task, by Edge Pruning, ACDC, EAP and others."""
    from eval_tasks.bench.discover import command

    command(arguments)


def frontier(arguments: list[str]) -> None:
    """Draw capability against interpretability, and task loss against circuit size, from results."""
    from sparsegpt2.report.frontier import FrontierConfig, write_frontier

    count = next((i for i, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    folders, arguments = arguments[:count], arguments[count:]
    if not folders and not {"-h", "--help"} & set(arguments):
        raise UserError("frontier needs results folders: sparsegpt2 frontier DIR... --out FILE")
    parser = make_parser("sparsegpt2 frontier DIR...", frontier.__doc__ or "")
    add_settings(parser, FrontierConfig)
    parser.add_argument("--out", type=str, required=True, help="Figure file, such as figures/frontier.png.")
    settings = parse(parser, arguments)
    for path in write_frontier(folders, settings.out, settings_from(settings, FrontierConfig)):
        print(path)


def view(arguments: list[str]) -> None:
    """Write a page that shows a circuit, or a run with its circuits: one HTML file for any browser."""
    from sparsegpt2.viewer import ViewConfig, page_data, read_notes, write_page

    parser = make_parser("sparsegpt2 view CIRCUIT|RUN", view.__doc__ or "")
    parser.add_argument("path", type=str, help="A circuit file written by prune or bench, or a run or results folder.")
    parser.add_argument("--out", type=str, default="", help="The page; by default beside the circuit, or in the run.")
    parser.add_argument("--text", action="store_true", help="List the circuit in the terminal instead.")
    parser.add_argument("--model", type=str, default="", help="The model it is of; by default the one it names.")
    parser.add_argument("--task", type=str, default="", help="The task's file, where it is not one of those listed.")
    parser.add_argument("--notes", type=str, default="", help="Labels and notes that such a page exported.")
    parser.add_argument("--evidence", type=str, default="", help="A JSON report; by default those beside the circuit.")
    parser.add_argument("--corpus", type=str, default="", help="Text for activations: a corpus's name, or files.")
    parser.add_argument("--circuits", type=int, default=24, help="Circuits of a run that the page holds, at most.")
    add_settings(parser, ViewConfig)
    settings = parse(parser, arguments)
    path = Path(settings.path)
    if settings.text:
        list_in_terminal(path, settings.model)
        return
    config = settings_from(settings, ViewConfig)
    circuits, run = (
        view_run(path, settings, config) if path.is_dir() else ([view_circuit(path, settings, config)], None)
    )
    notes = read_notes(settings.notes, [circuit["name"] for circuit in circuits]) if settings.notes else None
    out = Path(settings.out) if settings.out else path / "view.html" if path.is_dir() else path.with_suffix(".html")
    size = write_page(out, page_data(circuits, run, notes))
    print(f"{out}  {size / 1e6:.1f} MB, {len(circuits)} circuit{'' if len(circuits) == 1 else 's'}")


def list_in_terminal(path: Path, model: str) -> None:
    """Print a circuit's nodes in forward order, with their edges and the tokens they touch."""
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.viewer import circuit_model
    from sparsegpt2.viewer.listing import list_circuit

    circuit = Circuit.load(path)
    directory = circuit_model(circuit, path, model)
    for line in list_circuit(circuit, load_model(directory), Tokenizer.load(directory)):
        print(line)


def view_circuit(path: Path, settings: Any, config: ViewConfig) -> CircuitData:
    """Gather what a page shows of one circuit, with its task and the text its model read."""
    from eval_tasks.bench.subjects import short_names
    from eval_tasks.registry import get_task
    from sparsegpt2.circuits import Circuit
    from sparsegpt2.files import read_json
    from sparsegpt2.model.checkpoint import load_model
    from sparsegpt2.text.sample import text_to_look_at
    from sparsegpt2.text.tokenizer import Tokenizer
    from sparsegpt2.viewer import Subject, circuit_data, circuit_model, evidence_beside

    circuit = Circuit.load(path)
    directory = circuit_model(circuit, path, settings.model)
    model, tokenizer = load_model(directory), Tokenizer.load(directory)
    try:
        name = settings.task or circuit.info.get("task", "")
        task = get_task(name, tokenizer) if name else None
    except UserError as error:
        if settings.task:
            raise
        print(f"without its task: {error}; give its file with --task", file=sys.stderr)
        task = None
    corpus, corpus_name = None, ""
    if config.windows:
        corpus, corpus_name = text_to_look_at(directory, config.windows, model.config.context, settings.corpus)
    subject = Subject(
        model=model,
        name=short_names([directory])[0],
        tokenizer=tokenizer,
        task=task,
        corpus=corpus,
        corpus_name=corpus_name,
    )
    report = Path(settings.evidence) if settings.evidence else None
    evidence = {report.name: read_json(report, "report")} if report else evidence_beside(path)
    with progress_bar(circuit.info.get("task", path.name)) as progress:
        return circuit_data(circuit, subject, config, file=path, evidence=evidence, progress=progress)


def view_run(folder: Path, settings: Any, config: ViewConfig) -> tuple[list[CircuitData], RunData]:
    """Gather a run: its curves, its frontier, and the circuits behind it, lightly, as they share one page."""
    from sparsegpt2.viewer import circuit_files, run_data, run_results

    rows = run_results(folder)
    run_data(folder, rows, {})  # a folder that is no run is said to be none before anything long begins
    files = circuit_files(folder, rows)
    shown, left = files[: settings.circuits], files[settings.circuits :]
    light = replace(config, windows=0, pattern_bytes=0, effect_pairs=min(4, config.effect_pairs), examples=4)
    circuits = [view_circuit(file, settings, light) for file in shown]
    why = f"Not in this page: {len(left)} larger circuits; --circuits takes more in." if left else ""
    return circuits, run_data(folder, rows, {str(file): place for place, file in enumerate(shown)}, why)


def import_model(arguments: list[str]) -> None:
    """Bring in a published sparse model or a GPT-2, with node means over a corpus."""
    from collections.abc import Iterator

    from sparsegpt2.commands.models import import_model as import_from
    from sparsegpt2.text.corpus import CorpusConfig, corpus_names, open_corpus

    def documents(name: str) -> Iterator[str]:
        known = name in corpus_names()
        return open_corpus(CorpusConfig(name=name) if known else CorpusConfig(name="files", path=name)).documents(0)

    import_from(arguments, documents)


def export(arguments: list[str]) -> None:
    """Write a model or a circuit in another format."""
    from sparsegpt2.commands.models import export as export_to

    export_to(arguments)


def push(arguments: list[str]) -> None:
    """Put a model on the Hugging Face hub, with a model card."""
    from sparsegpt2.commands.models import push as push_to

    push_to(arguments)


def zoo(arguments: list[str]) -> None:
    """List the trained models that come with the package: zoo:NAME."""
    from sparsegpt2.interop.zoo import zoo_lines

    parse(make_parser("sparsegpt2 zoo", zoo.__doc__ or ""), arguments)
    print("\n".join(zoo_lines()))


def quickstart(arguments: list[str]) -> None:
    """Train one dense and two sparse models, prune their tasks, draw the frontier: the whole path in minutes."""
    from eval_tasks.registry import task_names
    from sparsegpt2.report.summary import SummaryFacts, closing_text, write_summary
    from train.lanes import run_lanes, usable_cores

    parser = make_parser("sparsegpt2 quickstart", quickstart.__doc__ or "")
    parser.add_argument("--out", type=str, default="runs/quickstart", help="Folder for everything that is made.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the models and of pruning.")
    settings = parse(parser, arguments)
    out, seed = Path(settings.out), str(settings.seed)
    if not CONFIGS.is_dir():
        raise UserError(f"quickstart reads its settings from {CONFIGS}, which is missing; run it from a clone")
    started, fresh = time.monotonic(), not out.exists()
    runs = [out / name for name in QUICKSTART]
    threads = max(1, usable_cores() // 2)
    common = ["--seed", seed, "--threads", str(threads), "--data_folder", str(out / "data")]
    settings_of_bench = [str(CONFIGS / "quickstart" / "bench.yaml"), "--seeds", f"[{seed}]", "--out", str(out)]

    def training(name: str) -> list[str]:
        return ["train", str(CONFIGS / "quickstart" / f"{name}.yaml"), "--out", str(out / name), *common]

    def benchmark(names: Sequence[str], *more: str) -> list[str]:
        return ["bench", *(str(out / name) for name in names), *settings_of_bench, *more]

    *small, large = QUICKSTART
    run_lanes([[training(large)], [*map(training, small), benchmark(small)]], threads)
    halves = [task_names()[half::2] for half in range(2)]
    run_lanes([[benchmark([large], "--tasks", f"[{','.join(half)}]")] for half in halves], threads)
    step("bench", benchmark(QUICKSTART)[1:])  # nothing is left to prune: the table
    minutes = (time.monotonic() - started) / 60 if fresh else None  # of a run gone on with, only the rest was timed
    facts = SummaryFacts(command="sparsegpt2 quickstart", seed=settings.seed, minutes=minutes)
    found = write_summary(out / "summary.html", [out], runs=runs, facts=facts)
    step("frontier", [str(out), "--out", str(out / "frontier.png")])
    print(closing_text(found, out / "summary.html"))


def family(arguments: list[str]) -> None:
    """Train a family of models side by side and benchmark them, after saying what that will cost."""
    from sparsegpt2.results.results import merge_results
    from train.family import BENCH, make_plan, read_family, train_family
    from train.lanes import run_queue

    parser = make_parser("sparsegpt2 family FOLDER", family.__doc__ or "")
    parser.add_argument("folder", type=str, help="YAML files: base.yaml, NAME.yaml over it for each model, bench.yaml.")
    parser.add_argument("--out", type=str, default="runs/family", help="A run folder for each model, and the results.")
    parser.add_argument("--only", type=str, default="", help="Names of the models to make, with commas; default all.")
    parser.add_argument("--tokens", type=int, default=0, help="Tokens to train on, instead of what base.yaml says.")
    parser.add_argument("--dry_run", action="store_true", help="Say what it will cost, and stop.")
    settings = parse(parser, arguments)
    folder, out = Path(settings.folder), Path(settings.out)
    flags = ["--data_folder", str(out / "data")]
    if settings.tokens:
        flags += ["--tokens", str(settings.tokens), "--data.tokens", str(settings.tokens)]
    plan = make_plan(read_family(folder, [name for name in settings.only.split(",") if name], flags), out)
    print("\n".join(plan.lines()), flush=True)
    if settings.dry_run:
        return
    results = {run: out / "results" / run.name for run in train_family(plan)}  # apart, as they are written at once
    bench_settings = [str(folder / BENCH)] if (folder / BENCH).is_file() else []
    run_queue([["bench", str(run), *bench_settings, "--out", str(to)] for run, to in results.items()], plan.lanes)
    merge_results(results.values(), out)
    step("frontier", [str(out), "--out", str(out / "frontier.png")])


def step(command: str, arguments: list[str]) -> None:
    """Run one of the commands as a user would, saying which."""
    print(f"\n$ sparsegpt2 {command} {' '.join(arguments)}", flush=True)
    COMMANDS[command](arguments)


COMMANDS = {
    "quickstart": quickstart,
    "train": train,
    "tasks": tasks,
    "prune": prune,
    "bench": bench,
    "evaluate": evaluate,
    "discover": discover,
    "frontier": frontier,
    "view": view,
    "import": import_model,
    "export": export,
    "push": push,
    "zoo": zoo,
    "family": family,
}


def main() -> None:
    """Entry point of the installed command."""
    sys.exit(run_commands("sparsegpt2", COMMANDS, sys.argv[1:]))


if __name__ == "__main__":
    main()
