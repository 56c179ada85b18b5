"""`sparsegpt2 frontier DIR...`: draw figures from benchmark results."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.settings import Parser, settings_from


def frontier_parser() -> Parser:
    """The settings of `frontier`."""
    from sparsegpt2.report.config import FrontierConfig

    parser = Parser(
        "frontier DIR... --out FILE",
        "From results of `bench`, draw capability against interpretability, and task loss against circuit size.",
    )
    parser.positional("folders", "Results folders.", metavar="DIR", many=True)
    parser.add_settings(FrontierConfig)
    parser.add("out", str, help="Figure file; its suffix is the format.", metavar="FILE", required=True)
    parser.alias(model="models")
    parser.front(
        "What to draw",
        out="Figure file, such as frontier.png, .svg or .pdf; tables are written next to it.",
        pruner="Pruner whose circuits are compared; by default the only one, or node.",
        target_loss="Target loss in nats; by default the one nearest to 0.15.",
        models="Names of the models; by default all.",
        size="Size of a circuit: `edges` between its nodes, or `edges_trimmed`, without dangling nodes.",
    )
    parser.front(
        "What to compare",
        min_shared="Least number of shared tasks; models with the fewest tasks are left out until it is met.",
        match_within="Largest difference (nats) between held-out losses that count as equal.",
        same_l0_within="Largest relative difference in L0 of models that a line joins.",
    )
    return parser


def frontier(arguments: list[str]) -> None:
    """From results of `bench`, draw capability against interpretability, and task loss against circuit size."""
    settings = frontier_parser().parse(arguments)

    from sparsegpt2.files import check_writable
    from sparsegpt2.report.config import FrontierConfig
    from sparsegpt2.report.frontier import write_frontier

    check_writable(Path(settings.out))
    for path in write_frontier(settings.folders, settings.out, settings_from(settings, FrontierConfig)):
        print(path)
