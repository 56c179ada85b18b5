"""`sparsegpt2 frontier DIR...`: figures of benchmark results."""

from __future__ import annotations

from sparsegpt2.settings import Parser, settings_from


def frontier_parser() -> Parser:
    """The settings of `frontier`."""
    from sparsegpt2.report.config import FrontierConfig

    parser = Parser(
        "frontier DIR... --out FILE",
        "Draw capability against interpretability, and task loss against circuit size, from results of `bench`.",
    )
    parser.positional("folders", "Results folders.", metavar="DIR", many=True)
    parser.add_settings(FrontierConfig)
    parser.add("out", str, help="Figure file; its suffix says what is written.", metavar="FILE", required=True)
    parser.alias(model="models")
    parser.front(
        "What is drawn",
        out="Figure, such as frontier.png, .svg or .pdf; tables go next to it.",
        pruner="Pruner whose circuits are compared; by default the only one, or node.",
        target_loss="Target task loss in nats; by default the one nearest to 0.15.",
        models="Names of the models; by default all.",
        size="Edges of a circuit: all between its nodes, or those left after trimming.",
    )
    parser.front(
        "What is compared",
        min_shared="Tasks that the models must share; models with few are left out.",
        match_within="Held-out losses that differ by no more (nats) count as equal.",
        same_l0_within="Models whose L0 differs by no more are joined by a line.",
    )
    return parser


def frontier(arguments: list[str]) -> None:
    """Draw capability against interpretability, and task loss against circuit size, from results."""
    settings = frontier_parser().parse(arguments)

    from sparsegpt2.report.config import FrontierConfig
    from sparsegpt2.report.frontier import write_frontier

    for path in write_frontier(settings.folders, settings.out, settings_from(settings, FrontierConfig)):
        print(path)
