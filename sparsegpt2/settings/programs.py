"""Run commands: list them, find one by name, and turn what ends it into a message and an exit status."""

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
"""Exit status after a user's mistake."""
INTERRUPTED = 130
"""Exit status after an interruption."""
RESUMED = ("train", "family", "quickstart", "bench", "discover", "evaluate")
"""Commands that save while they work, and continue from there when they are run again."""


@dataclass(frozen=True)
class Command:
    """A command. `function` in `module` runs it, and `FUNCTION_parser` in the same module returns its parser."""

    group: str
    """Its heading in the list of commands."""
    module: str
    function: str
    says: str
    """What it does: its line in the list of commands."""

    def __call__(self, arguments: list[str]) -> None:
        """Import the module and run the command."""
        getattr(import_module(self.module), self.function)(arguments)

    def parser(self) -> Parser:
        """The parser of its settings, without running it (for completion)."""
        made: Parser = getattr(import_module(self.module), f"{self.function}_parser")()
        return made


def run(command: Callable[[list[str]], None], arguments: list[str]) -> int:
    """Run a command and return its exit status. A user's mistake is one line on stderr and status 2."""
    try:
        with process.of_a_command(arguments) as arguments, process.in_one_sentence():
            _answer(command, arguments)
    except UserError as error:
        print(f"sparsegpt2: error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        name = getattr(command, "function", "") or getattr(command, "__name__", "")
        next_time = "run the same command again to resume" if name in RESUMED else "no result was written"
        print(f"sparsegpt2: interrupted; {next_time}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        said = usercode.sentence(error)
        if said is None:
            raise
        print(f"sparsegpt2: error: {said}", file=sys.stderr)  # a mistake in the user's own task, pruner and so on
        return USER_MISTAKE
    return 0


def _answer(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Run a command, or print its help."""
    try:
        command(arguments)
    except HelpAsked as asked:
        print((full_help if asked.all else short_help)(asked.parser), flush=True)


def run_commands(program: str, commands: Mapping[str, Command], arguments: list[str]) -> int:
    """Run the command that the first argument names; without one, or with --help, list all commands."""
    first = arguments[0] if arguments else ""
    if first in ("", "-h", "--help", "--help-all"):
        groups: dict[str, dict[str, str]] = {}
        for name, command in commands.items():
            groups.setdefault(command.group, {})[name] = command.says
        ending = f"For the settings of a command: {program} COMMAND --help. For the version: {program} --version."
        print(listing(program, groups, ending))
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
    from importlib.metadata import PackageNotFoundError, version  # takes 20 ms, which `--help` does not need

    try:
        return version("sparsegpt2")
    except PackageNotFoundError:
        return "(not installed)"


def step(command: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Print the command line of `command`, and run it in this process as a part of another command."""
    print(f"\n$ sparsegpt2 {command.__name__} {' '.join(arguments)}", flush=True)
    command(arguments)
