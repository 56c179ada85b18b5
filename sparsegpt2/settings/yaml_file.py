"""Read YAML strictly: settings are a mapping, each key occurs once, and `1e-3` is a number."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.plain import DEEPEST, read_text, shallow

SUFFIXES = (".yaml", ".yml")
MOST_VALUES = 20_000
"""The largest number of values in one file. A YAML alias counts as all the values that it stands for."""
MOST_BRACKETS = 500
"""The largest number of brackets that may be open at once."""
MOST_KEYS = 10_000
"""The largest number of keys in one mapping."""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The settings in a YAML file, with nested mappings for groups; `UserError` for anything else in it."""
    text = read_text(path, "config file")
    values = parse_yaml(text, f"config file {path}")
    if values is None:
        raise UserError(f"config file {path} holds no settings; write them as `name: value`, a line each")
    if not isinstance(values, dict):
        found = "a list" if isinstance(values, list) else f"only {str(values)[:40]!r}"
        raise UserError(f"config file {path} is {found}; settings are written as `name: value`, a line each")
    return values


def parse_yaml(text: str, source: str) -> Any:
    """The value in a YAML text; `UserError`, naming `source`, if it is not valid YAML."""
    import yaml

    if _brackets(text) > MOST_BRACKETS:  # PyYAML takes time that grows with the square of this number
        raise UserError(f"{source} is not valid YAML: it is nested too deeply")
    try:
        value = yaml.load(text, _loader())
    except yaml.MarkedYAMLError as error:
        line = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = error.problem or "it cannot be read"
        if "\\t" in reason:
            reason = "a tab; indent with spaces"
        raise UserError(f"{source} is not valid YAML{line}: {reason}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{source} is not valid YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise UserError(f"{source} is not valid YAML: it is nested too deeply") from None
    except ValueError as error:  # an impossible date, or a number with thousands of digits
        raise UserError(f"{source} is not valid YAML: {error}") from None
    if wrong := _too_much(value):
        raise UserError(f"{source} {wrong}")
    return value


def _brackets(text: str) -> int:
    """The largest number of brackets that are open at once, counting brackets in quoted text too."""
    deepest = depth = 0
    for found in re.finditer(r"[\[\]{}]", text):
        depth += 1 if found[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _too_much(value: Any) -> str:
    """What is wrong with a value that holds more than settings ever do; empty if it does not.

    An alias stands for a whole value, so a few lines can stand for more than fits in memory. A value can
    even hold itself.
    """
    waiting, count = [value], 0
    while waiting:
        one = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            return f"holds more than {MOST_VALUES:,} values"
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple | set):
            waiting += one
        elif isinstance(one, str) and not one.isascii() and any("\ud800" <= sign <= "\udfff" for sign in one):
            return f"holds half a character, in {one[:40]!a}"
    return "" if shallow(value) else f"is nested too deeply: {DEEPEST} levels are read at most"


@cache
def _loader() -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """YAML 1.1 as PyYAML reads it, except that `1e-3` is a number and a repeated key is a mistake."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self.looked_at: set[int] = set()

        def flatten_mapping(self, node: Any) -> None:
            """Called by PyYAML for every mapping, to merge `<<` into it. Repeated keys can be seen only before that."""
            if id(node) not in self.looked_at:
                self.looked_at.add(id(node))
                keys = [key.value for key, _ in node.value]
                for place, (key, _) in enumerate(node.value):
                    if key.value in keys[:place]:
                        raise yaml.MarkedYAMLError(problem=f"{key.value} is given twice", problem_mark=key.start_mark)
            super().flatten_mapping(node)
            if len(node.value) > MOST_KEYS:  # a few mappings that merge each other ten times each would fill the RAM
                raise yaml.MarkedYAMLError(problem="too much is merged", problem_mark=node.start_mark)

    number = r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+$"
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(number), list("-+0123456789."))
    return Loader
