"""Running commands: their list, a wrong name, one sentence and a status for what ends them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from sparsegpt2 import process, usercode
from sparsegpt2.errors import UserError
from sparsegpt2.settings.help import full_help, listing, short_help
from sparsegpt2.settings.parser import HelpAsked, Parser
from sparsegpt2.settings.values import did_you_mean

USER_MISTAKE = 2
INTERRUPTED = 130


@dataclass(frozen=True)
class Command:
    """A command: `module.function(arguments)` runs it, `module.function_parser()` knows its settings."""

    group: str
    """Heading in the list of commands."""
    module: str
    function: str
    says: str
    """What it does, in one line of the list of commands."""

    def __call__(self, arguments: list[str]) -> None:
        """Import the module and run."""
        getattr(import_module(self.module), self.function)(arguments)

    def parser(self) -> Parser:
        """Its settings, for completion; nothing is run."""
        made: Parser = getattr(import_module(self.module), f"{self.function}_parser")()
        return made


def run(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a command; a user's mistake is one line on stderr and status 2, an interruption status 130."""
    try:
        with process.of_a_command(arguments) as arguments, process.in_one_sentence():
            _answer(command, arguments)
    except UserError as error:
        print(f"sparsegpt2: error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        print("sparsegpt2: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        said = usercode.sentence(error)
        if said is None:
            raise
        print(f"sparsegpt2: error: {said}", file=sys.stderr)  # a mistake in a user's own task, pruner and so on
        return USER_MISTAKE
    return 0


def _answer(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a command, or print its help."""
    try:
        command(arguments)
    except HelpAsked as asked:
        print((full_help if asked.all else short_help)(asked.parser), flush=True)


def run_commands(program: str, commands: Mapping[str, Command], arguments: list[str]) -> int:
    """Run the command that the first argument names; without one, or with --help, list them by group."""
    first = arguments[0] if arguments else ""
    if first in ("", "-h", "--help", "--help-all"):
        groups: dict[str, dict[str, str]] = {}
        for name, command in commands.items():
            groups.setdefault(command.group, {})[name] = command.says
        print(listing(program, groups, f"{program} COMMAND --help tells more; {program} --version, which one this is."))
        return 0 if arguments else USER_MISTAKE
    if first == "--version":
        print(f"sparsegpt2 {installed_version()}")
        return 0
    if first not in commands:
        what, known = ("setting", ["--help", "--version"]) if first.startswith("-") else ("command", list(commands))
        hint = did_you_mean(first, known) or f"; there are {', '.join(known)}"
        print(f"sparsegpt2: error: there is no {what} {first!r}{hint}", file=sys.stderr)
        return USER_MISTAKE
    return run(commands[first], arguments[1:])


def installed_version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version  # 20 ms, which `--help` need not wait for

    try:
        return version("sparsegpt2")
    except PackageNotFoundError:
        return "(not installed)"


def step(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a command in this process as a part of another, saying which."""
    print(f"\n$ sparsegpt2 {command.__name__} {' '.join(arguments)}", flush=True)
    command(arguments)
