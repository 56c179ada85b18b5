"""`sparsegpt2 quickstart`: train three small models, find their circuits, draw the frontier."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from sparsegpt2 import configs
from sparsegpt2.settings import Parser, step

QUICKSTART = ("dense", "sparse-128", "sparse-256")
"""Ordered by training time. The last takes about as long as the others together, so it runs next to them."""


def quickstart_parser() -> Parser:
    """The settings of `quickstart`."""
    parser = Parser(
        "quickstart",
        "Train one dense and two sparse models, find the circuits of their tasks and draw the frontier, in minutes. "
        "Run the same command again to continue where it stopped.",
    )
    parser.add("out", str, "runs/quickstart", help="Folder for everything it writes.", metavar="DIR")
    parser.add("seed", int, 0, help="Seed for training and for pruning.")
    parser.add("dry_run", bool, False, help="Print what it would train and prune, and stop.")
    return parser


def quickstart(arguments: list[str]) -> None:
    """Train one dense and two sparse models, find the circuits of their tasks and draw the frontier, in minutes."""
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
    parts = [out / "results" / name for name in ("small", "large-1", "large-2")]  # each folder has one writer

    def training(name: str) -> list[str]:
        return ["train", f"quickstart/{name}", "--out", str(out / name), *common]

    if settings.dry_run:
        plan = make_plan({name: read_run([f"quickstart/{name}", *common]) for name in QUICKSTART}, out)
        pruning = f"Then each model is pruned for every task that it has, of {len(task_names())} tasks."
        print("\n".join([*plan.lines(), pruning]))
        return

    def benchmark(names: Sequence[str], to: Path, *more: str) -> list[str]:
        return ["bench", *(str(out / name) for name in names), *settings_of_bench, "--out", str(to), *more]

    *small, large = QUICKSTART
    run_lanes([[training(large)], [*map(training, small), benchmark(small, parts[0], "--no-table")]], threads)
    halves = [(to, task_names()[half::2]) for half, to in enumerate(parts[1:])]
    run_lanes([[benchmark([large], to, "--tasks", ",".join(half), "--no-table")] for to, half in halves], threads)
    merge_results(parts, out)
    step(bench, benchmark(QUICKSTART, out)[1:])  # nothing is left to prune: prints the table
    minutes = (time.monotonic() - started) / 60 if fresh else None  # a resumed run has timed only its last part
    facts = SummaryFacts(command="sparsegpt2 quickstart", seed=settings.seed, minutes=minutes)
    found = write_summary(out / "summary.html", [out], runs=runs, facts=facts)
    step(frontier, [str(out), "--out", str(out / "frontier.png")])
    print(closing_text(found, out / "summary.html"))
