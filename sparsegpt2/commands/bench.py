"""`sparsegpt2 bench MODEL...`: prune models x tasks x pruners x target losses, and write rows to results.jsonl."""

from __future__ import annotations

from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.settings.device import DEVICE_HELP


def bench_parser() -> Parser:
    """The settings of `bench`."""
    from eval_tasks.bench.config import BenchConfig
    from sparsegpt2.circuits.config import PruneConfig
    from sparsegpt2.evidence.config import EvidenceConfig

    parser = Parser(
        "bench MODEL... --out DIR",
        "Benchmark models: one row of results and one circuit for each model, task, pruner, seed and target loss. "
        "Run the same command again to continue where it stopped.",
    )
    parser.positional("models", "Models or runs.", metavar="MODEL", many=True)
    parser.add_settings(BenchConfig)
    parser.add_settings(PruneConfig, "prune", skip=("pruner", "seed"))
    parser.add_settings(EvidenceConfig, "check")
    parser.add("components", tuple[str, ...], (), help="Methods of `discover` to run as well.", metavar="METHOD,METHOD")
    parser.add("out", str, help="Results folder: results.jsonl and circuits/.", metavar="DIR", required=True)
    parser.add("table", bool, True, help="Print a table of all rows at the end.")
    parser.alias(task="tasks", pruner="pruners", target_loss="target_losses", seed="seeds", component="components")
    parser.front(
        "What to compare",
        out="Results folder: results.jsonl and circuits/.",
        tasks="Names of tasks, or your own files; by default all 20.",
        pruners="Pruners that find the circuits, such as node,node+trim.",
        target_losses="Task losses that circuits must meet, in nats; by default 0.15.",
        seeds="Pruning seeds.",
        test_pairs="Test pairs that each circuit is scored on.",
    )
    parser.front(
        "How",
        {
            "prune.steps": "Training steps of a circuit's gates, at most.",
            "tune": "Trials of a search for the best pruning settings; 0: no search.",
            "evidence": "Check the faithfulness of each circuit, as `sparsegpt2 evaluate` does.",
            "components": "Methods of `sparsegpt2 discover` to run as well.",
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
