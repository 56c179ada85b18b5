"""What every command shares: settings from YAML files and flags, and one sentence for a user's mistake.

    sparsegpt2 train base.yaml delta.yaml --model.d_model 512

Leading arguments that are YAML files are read in order, later ones over earlier ones, flags over all.
"""

from __future__ import annotations

import sys
from argparse import ArgumentError
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sparsegpt2.errors import UserError

Settings = TypeVar("Settings")

USER_MISTAKE = 2
INTERRUPTED = 130


def make_parser(prog: str, description: str) -> Any:
    """A jsonargparse parser whose mistakes are exceptions and whose help shows the docstring under each field."""
    from jsonargparse import ArgumentParser, set_parsing_settings

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    return ArgumentParser(prog=prog, description=description, exit_on_error=False)


def add_settings(parser: Any, kind: type, skip: set[str] | None = None) -> None:
    """A flag per field of the dataclass `kind`, nested ones dotted, and YAML files through `--config`."""
    from jsonargparse import ActionConfigFile

    parser.add_argument("--config", action=ActionConfigFile, help="A YAML file of settings; may be given repeatedly.")
    parser.add_class_arguments(kind, None, skip=skip)


def parse(parser: Any, arguments: list[str]) -> Any:
    """Parse, raising `UserError` in one sentence; leading YAML files become `--config` flags."""
    leading = []
    while arguments and arguments[0].endswith((".yaml", ".yml")):
        if not Path(arguments[0]).is_file():
            raise UserError(f"config file {arguments[0]} does not exist")
        leading += ["--config", arguments[0]]
        arguments = arguments[1:]
    try:
        return parser.instantiate(parser.parse_args(leading + arguments))
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from None


def settings_from(namespace: Any, kind: type[Settings]) -> Settings:
    """The dataclass `kind` from a parsed namespace; what else the namespace holds is left alone."""
    from dataclasses import fields

    names = [field.name for field in fields(kind) if hasattr(namespace, field.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(namespace, name) for name in names})


def run(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a command; a user's mistake is one line on stderr and status 2, an interruption status 130."""
    try:
        command(arguments)
    except UserError as error:
        print(f"sparsegpt2: error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("sparsegpt2: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0
