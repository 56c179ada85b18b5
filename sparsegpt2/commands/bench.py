"""`sparsegpt2 bench MODEL...`: find a circuit for each model, task, pruner and target loss, and write the results."""

from __future__ import annotations

from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.settings.device import DEVICE_HELP


def bench_parser() -> Parser:
    """The parser of the settings of `bench`."""
    from eval_tasks.bench.config import BenchConfig
    from sparsegpt2.circuits.config import PruneConfig
    from sparsegpt2.evidence.config import EvidenceConfig

    parser = Parser(
        "bench MODEL... --out DIR",
        "Benchmark models: one row of results and one circuit for each model, task, pruner, seed and target loss. "
        "If the command was interrupted, run it again to continue.",
    )
    parser.positional(
        "models", "Models or runs to benchmark: folders, zoo:NAME or hf:user/name.", metavar="MODEL", many=True
    )
    parser.add_settings(BenchConfig)
    parser.add_settings(PruneConfig, "prune", skip=("pruner", "seed"))
    parser.add_settings(EvidenceConfig, "check")
    parser.add("components", tuple[str, ...], (), help="Also run these methods of `discover`.", metavar="METHOD,METHOD")
    parser.add("out", str, help="Results folder: results.jsonl and circuits/.", metavar="DIR", required=True)
    parser.add("table", bool, True, help="Print a table of all rows at the end.")
    parser.alias(task="tasks", pruner="pruners", target_loss="target_losses", seed="seeds", component="components")
    parser.front(
        "What to compare",
        out="Results folder: results.jsonl and circuits/.",
        tasks="Names of tasks, or files with your own tasks; by default all 20.",
        pruners="Pruners that find the circuits, such as node,node+trim.",
        target_losses="Task losses that circuits must meet, in nats; by default 0.15.",
        seeds="Pruning seeds.",
        test_pairs="Number of test pairs that each circuit is scored on.",
    )
    parser.front(
        "How",
        {
            "prune.steps": "Largest number of training steps for a circuit's gates.",
            "tune": "Number of trials in a search for the best pruning settings; 0: no search.",
            "evidence": "Check the faithfulness of each circuit, as `sparsegpt2 evaluate` does.",
            "components": "Also run these methods of `sparsegpt2 discover`.",
            "device": DEVICE_HELP,
        },
    )
    return parser


def bench(arguments: list[str]) -> None:
    """Benchmark models: one row of results and one circuit for each model, task, pruner, seed and target loss."""
    settings = bench_parser().parse(arguments)

    from eval_tasks.bench.benchmark import bench as run_bench
    from eval_tasks.bench.config import BenchConfig
    from sparsegpt2.components.config import DiscoverConfig

    config, methods = (
        settings_from(settings, BenchConfig),
        [DiscoverConfig(method=name) for name in settings.components],
    )
    run_bench(
        settings.models,
        settings.out,
        config,
        settings.prune,
        settings.check,
        components=methods,
        table=settings.table,
    )
