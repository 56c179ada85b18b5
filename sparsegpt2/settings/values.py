"""Convert what a user wrote to a value of the setting's type: lists with commas, yes and no, whole numbers as `1e5`.

`given` is text from the command line or a plain value from YAML. The rules are the same for both.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from decimal import Decimal, InvalidOperation
from reprlib import Repr
from typing import Any, Literal, Union, get_args, get_origin

from sparsegpt2.errors import UserError
from sparsegpt2.settings.yaml_file import parse_yaml

YES_NO = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
LARGEST = 2**63 - 1


class Wrong(Exception):
    """Raised for a value that does not have the wanted type. It has no message: `wrong_value` makes one."""


def value_of(given: Any, kind: Any, name: str) -> Any:
    """`given` as a value of the type `kind` (an annotation). `UserError` that names `name` if it cannot be one."""
    try:
        return _convert(given, kind, name)
    except Wrong:
        raise wrong_value(given, kind, name) from None


def wrong_value(given: Any, kind: Any, name: str, wanted: str = "") -> UserError:
    """The error for a value `given` of the setting `name` that does not have the type `kind`.

    wanted: what the value must be, in words; by default as `described` says.
    """
    hint = ""
    if get_origin(kind) is Literal and isinstance(given, str):
        hint = did_you_mean(given, map(str, get_args(kind)))
    return UserError(f"{name} needs {wanted or described(kind)}, not {shown(given)}{hint}")


def _convert(given: Any, kind: Any, name: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        if isinstance(given, list | dict):
            raise Wrong
        return given
    if origin in (Union, types.UnionType):  # the only unions in settings are X | None
        if given is None or given in ("null", ""):
            return None
        return _convert(given, next(one for one in arguments if one is not types.NoneType), name)
    if origin is Literal:
        for choice in arguments:
            if given == choice or str(given) == str(choice):
                return choice
        raise Wrong
    if origin in (tuple, list):
        return _sequence(given, origin, arguments, name)
    if origin is dict:
        return _mapping(given, arguments[1], name)
    if is_dataclass(kind):
        return _record(given, kind, name)
    return {bool: _yes_no, int: _whole_number, float: _number, str: _text}[kind](given)


def _yes_no(given: Any) -> bool:
    if isinstance(given, str):
        given = YES_NO.get(given.lower())
    if not isinstance(given, bool):
        raise Wrong
    return given


def _whole_number(given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise Wrong
    try:
        exact = Decimal(str(given).replace("_", ""))
        if abs(exact) > LARGEST or exact != exact.to_integral_value():
            raise Wrong
        return int(exact)
    except (InvalidOperation, ValueError):  # not a number, nan, or infinity
        raise Wrong from None


def _number(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise Wrong
    try:
        value = float(given)
    except (ValueError, OverflowError):
        raise Wrong from None
    if not math.isfinite(value):
        raise Wrong
    return value


def _text(given: Any) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise Wrong
    return str(given)


def _sequence(given: Any, origin: type, arguments: tuple[Any, ...], name: str) -> Any:
    if isinstance(given, str):
        given = _split(given, name)
    elif isinstance(given, int | float):
        given = [given]
    if not isinstance(given, list | tuple):
        raise Wrong
    if origin is tuple and arguments[-1] is not Ellipsis:
        if len(given) != len(arguments):
            raise Wrong
        return tuple(_convert(one, kind, name) for one, kind in zip(given, arguments, strict=True))
    return origin(_convert(one, arguments[0], name) for one in given)


def _split(text: str, name: str) -> list[Any]:
    """The list in `a,b` or in `[a, b]`; an empty text is an empty list."""
    if text.lstrip().startswith(("[", "{")):
        values = parse_yaml(text, name)
        return values if isinstance(values, list) else [values]
    return [part.strip() for part in text.split(",") if part.strip()]


def _mapping(given: Any, kind: Any, name: str) -> dict[str, Any]:
    if isinstance(given, str):
        given = parse_yaml(given, name)
    if not isinstance(given, dict) or not all(isinstance(key, str) for key in given):
        raise Wrong
    if get_origin(kind) is list and get_args(kind) == (Any,):  # so that `lr: 1e-3,1e-2` gives two numbers
        lists = {key: parse_yaml(f"[{one}]", name) if isinstance(one, str) else one for key, one in given.items()}
        return {key: _convert(one, kind, name) for key, one in lists.items()}
    return given if kind is Any else {key: _convert(one, kind, name) for key, one in given.items()}


def _record(given: Any, kind: Any, name: str) -> Any:
    """An object of the dataclass `kind` from a mapping of some of its fields."""
    from dataclasses import fields
    from typing import get_type_hints

    if isinstance(given, str):
        given = parse_yaml(given, name)
    if not isinstance(given, dict):
        raise Wrong
    hints, known = get_type_hints(kind), [field.name for field in fields(kind)]
    for key in given:
        if key not in known:
            raise UserError(
                f"{name} has no setting {key!r}{did_you_mean(str(key), known)}; there are {', '.join(known)}"
            )
    return kind(**{key: value_of(one, hints[key], f"{key} of {name}") for key, one in given.items()})


# --- Sentences ------------------------------------------------------------------------------------------------------

_SINGLE = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
SEVERAL = {int: "whole numbers", float: "numbers", str: "names"}


def described(kind: Any) -> str:
    """What a value of this type must be, in plain words: `a whole number`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return described(next(one for one in arguments if one is not types.NoneType))
    if origin is Literal:
        return alternatives(map(str, arguments))
    if origin in (tuple, list):
        count = "" if origin is list or arguments[-1] is Ellipsis else f"{len(arguments)} "
        element = arguments[0]
        if is_dataclass(element):
            return "a list of groups, such as [{name: NAME}]"
        if get_origin(element) is Literal:
            return f"a list of {alternatives(map(str, get_args(element)))}, with commas"
        return f"{count}{SEVERAL.get(element, 'values')} with commas between, such as {_example(element)}"
    if origin is dict and get_origin(arguments[1]) is list:
        return "lists of numbers or words by name, such as {name: [1, 2]}"
    if origin is dict or is_dataclass(kind):
        return "settings by name, such as {name: value}"
    return _SINGLE.get(kind, "a value")


def _example(element: Any) -> str:
    return {int: "0,1", float: "0.1,0.2"}.get(element, "a,b")


def alternatives(words: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def shown(given: Any) -> str:
    """A short text for a value in a message."""
    if given is None or given == "":
        return "nothing"
    if isinstance(given, dict):
        return "a group of settings"
    short = Repr()
    short.maxstring = short.maxother = 60
    return short.repr(given)


def did_you_mean(word: str, known: Iterable[str], dashes: str = "") -> str:
    """`; did you mean X?` with the known word that is most similar; empty if none is similar."""
    from difflib import get_close_matches

    names: Sequence[str] = list(known)
    close = get_close_matches(word, names, 1, 0.6)
    return f"; did you mean {dashes}{close[0]}?" if close else ""
