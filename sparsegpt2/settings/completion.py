"""Shell completion of commands, their flags, and the words that a flag accepts; file names for everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args, get_origin

from sparsegpt2.settings.parser import Parser
from sparsegpt2.settings.programs import Command
from sparsegpt2.settings.values import value_of

SHELLS = Literal["bash", "zsh"]

BASH = """\
_sparsegpt2() {
    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" words=""
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words="@COMMANDS@ --help --version"
    else
        case "${COMP_WORDS[1]} $before" in
@CHOICES@
        esac
        if [ -z "$words" ] && [ "${word#-}" != "$word" ]; then
            case "${COMP_WORDS[1]}" in
@FLAGS@
            esac
        fi
    fi
    [ -n "$words" ] && COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _sparsegpt2 sparsegpt2"""


def completion_script(arguments: list[str], commands: Mapping[str, Command]) -> str:
    """The output of `sparsegpt2 completion SHELL`: a script for bash, which zsh can run too."""
    parser = Parser("completion SHELL", "Print a script that completes commands and flags in bash or zsh.")
    parser.positional("shell", "bash or zsh.")
    parser.note = (
        "For bash, add `source <(sparsegpt2 completion bash)` to ~/.bashrc; "
        "for zsh, add `source <(sparsegpt2 completion zsh)` to ~/.zshrc."
    )
    shell = value_of(parser.parse(arguments).shell, SHELLS, "SHELL")
    others = {name: command.parser() for name, command in commands.items() if name != "completion"}
    bash = script({**others, "completion": parser})
    return f"autoload -U +X bashcompinit && bashcompinit\n{bash}" if shell == "zsh" else bash


def script(parsers: Mapping[str, Parser]) -> str:
    """The script for bash, with the flags of each parser and the words of settings that accept only a few."""
    flags, choices = [], []
    for name, parser in parsers.items():
        flags.append(f'                {name}) words="{" ".join(_flags(parser))}" ;;')
        for option in parser.options.values():
            if get_origin(option.kind) is Literal:
                words = " ".join(map(str, get_args(option.kind)))
                choices.append(f'            "{name} --{option.name}") words="{words}" ;;')
    script = BASH.replace("@COMMANDS@", " ".join(parsers))
    return script.replace("@CHOICES@", "\n".join(choices)).replace("@FLAGS@", "\n".join(flags))


def _flags(parser: Parser) -> list[str]:
    """Every flag; those of the short help come first."""
    front = [name for names in parser.fronts.values() for name in names]
    names = list(dict.fromkeys([*front, *parser.options]))
    off = [f"--no-{name}" for name in names if parser.options[name].kind is bool and parser.options[name].default]
    return [*(f"--{name}" for name in names), *off, "--help", "--help-all"]
