"""`sparsegpt2 frontier DIR...`: figures of benchmark results."""

from __future__ import annotations

from sparsegpt2.errors import UserError
from sparsegpt2.settings import add_settings, make_parser, parse, settings_from


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
