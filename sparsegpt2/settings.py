"""What every command shares: settings from YAML files and flags, and one sentence for a user's mistake.

    sparsegpt2 train base.yaml delta.yaml --model.d_model 512

Leading arguments that are YAML files, or name ones of the package (`quickstart/sparse-256`), are read in order, later
ones over earlier ones, flags over all.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from sparsegpt2 import configs, process, usercode
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
    while arguments and configs.is_config(arguments[0]):
        leading += ["--config", str(configs.find(arguments[0]))]
        arguments = arguments[1:]
    try:
        return parser.instantiate(parser.parse_args(leading + arguments))
    except ArgumentError as error:
        raise UserError(" ".join(str(error).split())) from None


def leading(arguments: list[str], command: str, wanted: str) -> tuple[list[str], list[str]]:
    """Split off the arguments before the first flag or YAML file; none is a `UserError`."""
    count = 0
    while count < len(arguments) and not arguments[count].startswith("-") and not arguments[count].endswith(".yaml"):
        count += 1
    if not count and not {"-h", "--help"} & set(arguments):
        raise UserError(f"{command} needs {wanted}")
    return arguments[:count], arguments[count:]


def settings_from(namespace: Any, kind: type[Settings]) -> Settings:
    """The dataclass `kind` from a parsed namespace; what else the namespace holds is left alone."""
    from dataclasses import fields

    names = [field.name for field in fields(kind) if hasattr(namespace, field.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(namespace, name) for name in names})


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr with the time left, fed with (done, total, what); on no terminal it stays silent."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, description=f"{title}: {what}", completed=done, total=total)

        yield show


def run(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a command; a user's mistake is one line on stderr and status 2, an interruption status 130."""
    try:
        with process.of_a_command(arguments) as arguments, process.in_one_sentence():
            command(arguments)
    except UserError as error:
        print(f"sparsegpt2: error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("sparsegpt2: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        said = usercode.sentence(error)
        if said is None:
            raise
        print(f"sparsegpt2: error: {said}", file=sys.stderr)  # a mistake in a user's own task, pruner and so on
        return USER_MISTAKE
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def run_commands(program: str, commands: Mapping[str, Callable[[list[str]], None]], arguments: list[str]) -> int:
    """Run the command that the first argument names; without one, or with --help, list them."""
    lines = [f"  {name:<12}{(command.__doc__ or '').splitlines()[0]}" for name, command in commands.items()]
    listing = "\n".join([f"usage: {program} COMMAND ...", "", *lines, "", f"{program} COMMAND --help tells more."])
    if not arguments or arguments[0] in ("-h", "--help"):
        print(listing)
        return 0 if arguments else USER_MISTAKE
    if arguments[0] not in commands:
        print(
            f"sparsegpt2: error: there is no command {arguments[0]!r}; there are {', '.join(commands)}", file=sys.stderr
        )
        return USER_MISTAKE
    return run(commands[arguments[0]], arguments[1:])


def step(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a command in this process as a part of another, saying which."""
    print(f"\n$ sparsegpt2 {command.__name__} {' '.join(arguments)}", flush=True)
    command(arguments)
