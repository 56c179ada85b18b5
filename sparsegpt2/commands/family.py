"""`sparsegpt2 family FOLDER`: train several models at the same time and benchmark them."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2 import configs
from sparsegpt2.settings import Parser, step


def family_parser() -> Parser:
    """The parser of the settings of `family`."""
    parser = Parser(
        "family FOLDER",
        "Print how long the training of a family of models will take, then train and benchmark them. "
        "If the command was interrupted, run it again to continue.",
    )
    says = (
        "Folder with base.yaml, bench.yaml and, for each model, a NAME.yaml with the settings that differ from "
        "base.yaml. The folders `family` and `main` come with the package."
    )
    parser.positional("folder", says)
    parser.add("out", str, "runs/family", help="Folder for the runs of all models and the results.", metavar="DIR")
    parser.add("only", tuple[str, ...], (), help="Names of the models to train; by default all.", metavar="NAME,NAME")
    parser.add("tokens", int, 0, help="Number of training tokens for every model; by default as in base.yaml.")
    parser.add("dry_run", bool, False, help="Print how long the training will take, and stop.")
    return parser


def family(arguments: list[str]) -> None:
    """Print how long the training of a family of models will take, then train and benchmark them."""
    settings = family_parser().parse(arguments)

    from sparsegpt2.commands.frontier import frontier
    from sparsegpt2.results import merge_results
    from train.family import BENCH, make_plan, read_family, train_family
    from train.lanes import run_queue

    folder, out = configs.find_folder(settings.folder), Path(settings.out)
    flags = ["--data_folder", str(out / "data")]
    if settings.tokens:
        flags += ["--tokens", str(settings.tokens), "--data.tokens", str(settings.tokens)]
    plan = make_plan(read_family(folder, settings.only, flags), out)
    print("\n".join(plan.lines()), flush=True)
    if settings.dry_run:
        return
    # Each run has a results folder of its own, because the benchmarks run at the same time.
    results = {run: out / "results" / run.name for run in train_family(plan)}
    bench_settings = [str(folder / BENCH)] if (folder / BENCH).is_file() else []
    run_queue(
        [["bench", str(run), *bench_settings, "--no-table", "--out", str(to)] for run, to in results.items()],
        plan.lanes,
    )
    merge_results(results.values(), out)
    print_results(out)
    step(frontier, [str(out), "--out", str(out / "frontier.png")])


def print_results(out: Path) -> None:
    """Print the tables of all rows in the results folder `out`."""
    from eval_tasks.bench.component_table import print_component_tables
    from eval_tasks.bench.display import print_tables
    from eval_tasks.bench.evidence import print_verdicts
    from sparsegpt2.results import load_results

    rows = load_results([out])
    print_tables(rows)
    print_component_tables(rows)
    print_verdicts(rows)
