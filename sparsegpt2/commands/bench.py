"""`sparsegpt2 bench MODEL...`: models x tasks x pruners x target losses into results.jsonl."""

from __future__ import annotations

from sparsegpt2.settings import add_settings, leading, make_parser, parse, settings_from


def bench(arguments: list[str]) -> None:
    """Benchmark models: a row of results and a circuit for each model, task, pruner, seed and target loss."""
    from eval_tasks.bench.benchmark import BenchConfig
    from eval_tasks.bench.benchmark import bench as run_bench
    from sparsegpt2.circuits import PruneConfig
    from sparsegpt2.components import DiscoverConfig
    from sparsegpt2.evidence import EvidenceConfig

    models, arguments = leading(arguments, "bench", "models: sparsegpt2 bench MODEL... --out DIR")
    parser = make_parser("sparsegpt2 bench MODEL...", bench.__doc__ or "")
    add_settings(parser, BenchConfig)
    parser.add_class_arguments(PruneConfig, "prune", skip={"pruner", "seed"})
    parser.add_class_arguments(EvidenceConfig, "check")
    parser.add_argument("--components", type=str, default="", help="Methods of `discover` to run too, with commas.")
    parser.add_argument("--out", type=str, required=True, help="Results folder: results.jsonl and circuits/.")
    settings = parse(parser, arguments)
    methods = [DiscoverConfig(method=name) for name in settings.components.split(",") if name]
    config = settings_from(settings, BenchConfig)
    run_bench(list(models), settings.out, config, settings.prune, settings.check, components=methods)
