"""Help of every command: quick, because nothing heavy is imported; short first; and true."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings.help import full_help, short_help

HEAVY = ("torch", "numpy", "matplotlib", "tokenizers", "rich")
PROGRAM = f"""
import sys
from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings import run_commands
for arguments in [["--help"], *([name, "--help"] for name in COMMANDS)]:
    assert run_commands("sparsegpt2", COMMANDS, arguments) == 0
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    assert not loaded, f"{{arguments}} imported {{loaded}}"
"""
PARSERS = {name: command.parser() for name, command in COMMANDS.items() if name != "completion"}


def test_help_imports_nothing_heavy():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True)


@pytest.mark.parametrize("name", PARSERS)
def test_short_help_is_short_and_full_help_is_whole(name):
    parser = PARSERS[name]
    short, full = short_help(parser), full_help(parser)
    assert short.startswith(f"usage: sparsegpt2 {name}")
    shown = [setting for front in parser.fronts.values() for setting in front]
    assert len(shown) <= 16 and all(f"--{setting}" in short for setting in shown)
    assert all(f"--{setting}" in full for setting in parser.options)
    assert all(len(line) <= 120 for line in short.splitlines())
    for option in parser.options.values():
        if option.owner is None:
            assert option.help, f"{option.name} says nothing of itself"


@pytest.mark.parametrize("name", PARSERS)
def test_a_command_computes_where_auto_says(name):
    options = PARSERS[name].options
    assert "device" not in options or options["device"].default == "auto"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_is_a_script_that_bash_runs(command, shell):
    status, script, err = command("completion", shell)
    assert status == 0, err
    bash = script.replace("autoload -U +X bashcompinit && bashcompinit", "")
    ask = 'COMP_WORDS=({words}); COMP_CWORD={at}; _sparsegpt2; echo "${{COMPREPLY[@]}}"'

    def completed(words: str, at: int) -> list[str]:
        run = subprocess.run(
            ["bash", "-c", f"{bash}\n{ask.format(words=words, at=at)}"], text=True, capture_output=True, check=True
        )
        return run.stdout.split()

    assert completed("sparsegpt2 pr", 1) == ["prune"]
    assert completed("sparsegpt2 bench --targ", 2) == ["--target_losses"]
    assert completed("sparsegpt2 prune --trim ''", 3) == ["none", "nodes", "edges"]
    assert completed("sparsegpt2 evaluate --no-", 2) == ["--no-expensive"]
    assert completed("sparsegpt2 view runs", 2) == []  # a file: left to the shell


def test_completion_of_another_shell_is_one_sentence(command):
    assert command("completion", "fish") == (2, "", "sparsegpt2: error: SHELL needs bash or zsh, not 'fish'\n")


def test_version_and_what_is_no_command(command):
    status, out, _ = command("--version")
    assert status == 0 and out.startswith("sparsegpt2 ") and out[11].isdigit()
    assert command("trian")[2] == "sparsegpt2: error: there is no command 'trian'; did you mean train?\n"
    assert command("--vershun")[2] == "sparsegpt2: error: there is no setting '--vershun'; did you mean --version?\n"
    assert command()[0] == 2


def test_a_reader_that_has_seen_enough_is_no_error():
    program = [sys.executable, "-m", "sparsegpt2.cli", "prune", "--help-all"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.close()
    assert process.communicate()[1] == ""
