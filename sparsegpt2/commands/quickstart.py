"""`sparsegpt2 quickstart`: train three small models, find their circuits, and draw the figure of `frontier`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from sparsegpt2 import configs
from sparsegpt2.settings import Parser, step

QUICKSTART = ("dense-32", "dense-48", "sparse-256")
"""Names of the models, ordered by training time. The last takes about as long as the first two together, so it is
trained at the same time as they are."""


def quickstart_parser() -> Parser:
    """The parser of the settings of `quickstart`."""
    parser = Parser(
        "quickstart",
        "Train two dense models and a sparse one, find the circuits of their tasks and draw the figure of "
        "`frontier`. It takes minutes. If the command was interrupted, run it again to continue.",
    )
    parser.add("out", str, "runs/quickstart", help="Folder for all files that it writes.", metavar="DIR")
    parser.add("seed", int, 0, help="Seed for training and for pruning.")
    parser.add("dry_run", bool, False, help="Print what would be trained and pruned, and stop.")
    return parser


def quickstart(arguments: list[str]) -> None:
    """Train two dense models and a sparse one, find the circuits of their tasks and draw the figure of `frontier`."""
    settings = quickstart_parser().parse(arguments)

    from eval_tasks.registry import task_names
    from sparsegpt2.commands.bench import bench
    from sparsegpt2.commands.frontier import frontier
    from sparsegpt2.report.summary import SummaryFacts, closing_text, write_summary
    from sparsegpt2.results import merge_results
    from train.family import make_plan, read_run
    from train.lanes import run_lanes, usable_cores

    out, seed = Path(settings.out), str(settings.seed)
    started, fresh = time.monotonic(), not out.exists()
    runs = [out / name for name in QUICKSTART]
    threads = max(1, usable_cores() // 2)
    common = ["--seed", seed, "--threads", str(threads), "--data_folder", str(out / "data")]
    settings_of_bench = [str(configs.find("quickstart/bench.yaml")), "--seeds", seed]
    parts = [
        out / "results" / name for name in ("small", "large-1", "large-2")
    ]  # one folder for each process that prunes

    def training(name: str) -> list[str]:
        return ["train", f"quickstart/{name}", "--out", str(out / name), *common]

    if settings.dry_run:
        plan = make_plan({name: read_run([f"quickstart/{name}", *common]) for name in QUICKSTART}, out)
        pruning = f"Then each model is pruned for each of the {len(task_names())} tasks, except those that it lacks."
        print("\n".join([*plan.lines(), pruning]))
        return

    def benchmark(names: Sequence[str], to: Path, *more: str) -> list[str]:
        return ["bench", *(str(out / name) for name in names), *settings_of_bench, "--out", str(to), *more]

    *small, large = QUICKSTART
    run_lanes([[training(large)], [*map(training, small), benchmark(small, parts[0], "--no-table")]], threads)
    halves = [(to, task_names()[half::2]) for half, to in enumerate(parts[1:])]
    run_lanes([[benchmark([large], to, "--tasks", ",".join(half), "--no-table")] for to, half in halves], threads)
    merge_results(parts, out)
    step(bench, benchmark(QUICKSTART, out)[1:])  # all rows exist already, so this only prints the table
    minutes = (time.monotonic() - started) / 60 if fresh else None  # a resumed run would count only its last part
    facts = SummaryFacts(command="sparsegpt2 quickstart", seed=settings.seed, minutes=minutes)
    found = write_summary(out / "summary.html", [out], runs=runs, facts=facts)
    step(frontier, [str(out), "--out", str(out / "frontier.png")])
    print(closing_text(found, out / "summary.html"))
