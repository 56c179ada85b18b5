"""Help: `--help` shows the settings that people use most, `--help-all` every setting."""

from __future__ import annotations

import ast
import inspect
import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any, Literal, get_args, get_origin

from sparsegpt2.settings.parser import Option, Parser

WIDEST, COLUMN = 110, 30


def short_help(parser: Parser) -> str:
    """Usage, description, the settings in `parser.fronts`, and how to see the others.

    A parser without `fronts` has few settings, and all of them are shown.
    """
    fronts = parser.fronts or {"Settings": {option.name: option.help for option in parser.options.values()}}
    texts = {name: text for front in fronts.values() for name, text in front.items()}
    lines = _head(parser)
    for title, names in fronts.items():
        lines += ["", title, *(line for name in names for line in _entry(parser, name, texts[name]))]
    rest = len(parser.options) - len(texts)
    ending = ["In brackets: the default." if any("[" in line for line in lines[1:]) else "", parser.note]
    if rest > 0:
        more = f"{rest} more settings" if rest > 1 else "one more setting"
        ending.append(f"--help-all shows {more}, and where the defaults come from.")
    if any(ending):
        lines += ["", *_wrap(" ".join(filter(None, ending)), 0)]
    return "\n".join(lines).rstrip()


def full_help(parser: Parser) -> str:
    """Usage, description and every setting with its whole documentation."""
    lines = _head(parser)
    groups: dict[str, list[Option]] = {}
    for option in parser.options.values():
        groups.setdefault(option.name.rpartition(".")[0], []).append(option)
    for group, options in groups.items():
        docs: dict[type, Mapping[str, str]] = {}
        kind = parser.groups.get(group)
        title = f"{group}: {(kind.__doc__ or '').splitlines()[0]}" if kind else "Settings"
        lines += ["", *_wrap(title, 0)]
        for option in options:
            if option.owner is not None and option.owner not in docs:
                docs[option.owner] = field_docs(option.owner)
            text = option.help or docs[option.owner].get(option.short, "") if option.owner else option.help
            lines += _entry(parser, option.name, text)
    return "\n".join(lines)


def field_docs(kind: type) -> dict[str, str]:
    """Field -> the text below it in the source of a dataclass, or of the dataclass that it inherits the field from."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if "__dataclass_fields__" in vars(base):
            docs |= _own_field_docs(base)
    return docs


def _own_field_docs(kind: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = below.value.value if isinstance(below.value, ast.Constant) else ""
            docs[field.target.id] = " ".join(str(text).split())
    return docs


def listing(program: str, groups: Mapping[str, Mapping[str, str]], ending: str) -> str:
    """The list of a program's commands. groups: title -> (name -> what the command does)."""
    lines = [f"usage: {program} COMMAND ..."]
    for title, commands in groups.items():
        lines += ["", title, *(f"  {name:<12}{says}" for name, says in commands.items())]
    return "\n".join([*lines, "", ending])


def _head(parser: Parser) -> list[str]:
    lines = [f"usage: {parser.usage}", "", *_wrap(parser.description, 0)]
    if parser.positionals:
        lines.append("")
    for one in parser.positionals:
        lines += _columns(f"  {one.metavar}{'...' if one.many else ''}", one.help)
    if parser.reads_files:
        if not parser.positionals:
            lines.append("")
        order = "Settings files. Later files override earlier ones, and flags override all files."
        lines += _columns("  SETTINGS.yaml...", order)
    return lines


def _entry(parser: Parser, name: str, text: str) -> list[str]:
    option = parser.options[name]
    flag = f"  --{name}" if option.kind is bool else f"  --{name} {_metavar(option)}"
    return _columns(flag, text + _default(option))


def _metavar(option: Option) -> str:
    if option.metavar:
        return option.metavar
    kind = next((one for one in get_args(option.kind) if one is not type(None)), option.kind)
    if get_origin(option.kind) in (tuple, list):
        return "LIST" if is_dataclass(kind) else {int: "N,N", float: "X,X"}.get(kind, "A,B")
    if get_origin(option.kind) is Literal:
        return "|".join(map(str, get_args(option.kind)))
    return {int: "N", float: "X"}.get(kind, "TEXT")


def _default(option: Option) -> str:
    """` [0.1]`, in the notation of the command line; empty if there is no default or if the default means "none"."""
    if option.required:
        return " (required)"
    value = option.default
    if isinstance(value, bool):
        return f" [yes; --no-{option.name}]" if value else ""
    stands_for_none = value is None or value in ("", (), {}) or (value == 0 and "default" in option.help)
    return "" if stands_for_none or isinstance(value, list) else f" [{written(value)}]"


def written(value: Any) -> str:
    """A value in the notation of the command line: `0.1,0.2`, `1e-08`."""
    if isinstance(value, tuple):
        return ",".join(map(written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _columns(left: str, right: str) -> list[str]:
    lines = _wrap(right, COLUMN) or [""]
    if len(left) + 2 > COLUMN:
        return [left, *lines]
    return [left + lines[0][len(left) :], *lines[1:]]


def _wrap(text: str, indent: int) -> list[str]:
    width = max(indent + 30, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))
    space = " " * indent
    paragraph = " ".join(text.split())
    return textwrap.wrap(paragraph, width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False)
