"""`sparsegpt2 frontier DIR...`: draw figures from benchmark results."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.settings import Parser, settings_from


def frontier_parser() -> Parser:
    """The parser of the settings of `frontier`."""
    from sparsegpt2.report.config import FrontierConfig

    parser = Parser(
        "frontier DIR... --out FILE",
        "Draw figures from results of `bench`. The main ones are the held-out loss of models against the size of their "
        "circuits, and the task loss of circuits against their size.",
    )
    parser.positional("folders", "Results folders written by `bench`.", metavar="DIR", many=True)
    parser.add_settings(FrontierConfig)
    parser.add("out", str, help="File for the figure; its suffix decides the format.", metavar="FILE", required=True)
    parser.alias(model="models")
    parser.front(
        "What to draw",
        out="File for the figure: FILE.png, FILE.svg or FILE.pdf. Tables are written next to it.",
        pruner="Pruner whose circuits are compared; by default the only one, or node if there are several.",
        target_loss="Target loss in nats; by default the one nearest to 0.15.",
        models="Names of the models; by default all.",
        size="Measure of circuit size: `edges`, or `edges_trimmed`, which leaves out dangling nodes.",
    )
    parser.front(
        "What to compare",
        min_shared="Smallest number of shared tasks; models with the fewest tasks are left out until it is reached.",
        match_within="Held-out losses count as equal if they differ by at most this many nats.",
        same_l0_within="A line joins models whose L0 differs by at most this share.",
    )
    return parser


def frontier(arguments: list[str]) -> None:
    """Draw held-out loss against circuit size, and task loss against circuit size, from results of `bench`."""
    settings = frontier_parser().parse(arguments)

    from sparsegpt2.files import check_writable
    from sparsegpt2.report.config import FrontierConfig
    from sparsegpt2.report.frontier import write_frontier

    check_writable(Path(settings.out))
    for path in write_frontier(settings.folders, settings.out, settings_from(settings, FrontierConfig)):
        print(path)
