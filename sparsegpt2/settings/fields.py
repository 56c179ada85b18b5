"""Check the fields of a settings object against their annotations, wherever the object was made.

Settings objects call `check_fields` when they are made, so that values from Python, from YAML, from flags and from a
config.json pass the same check. Values from flags and YAML have been converted before (`values.py`), so the text "2"
does not pass as a number here.
"""

from __future__ import annotations

import functools
import math
import numbers
import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from sparsegpt2.settings.values import LARGEST, SEVERAL, Wrong, wrong_value


def check_fields(settings: Any) -> None:
    """`UserError` that names the first field whose value does not have its annotated type.

    An int passes where a float is wanted, and stays an int. NaN and infinity do not pass. A list becomes a tuple where
    the annotation is a tuple, and numbers of numpy become Python's, because settings are compared, hashed and saved as
    JSON.
    """
    made: Any = type(settings)
    for name, kind in _annotations(made).items():
        given = getattr(settings, name)
        try:
            value = _exact(given, kind)
        except Wrong:
            raise wrong_value(given, kind, name, _wanted(kind, given)) from None
        if value is not given:
            object.__setattr__(settings, name, value)  # settings are frozen


@functools.cache
def _annotations(kind: Any) -> dict[str, Any]:
    """Field -> annotation of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _exact(given: Any, kind: Any) -> Any:
    """`given` if it has the type `kind`, changed as `check_fields` says (lists, numpy); otherwise raises `Wrong`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return given
    if origin in (Union, types.UnionType):
        others = [one for one in arguments if one is not types.NoneType]
        return None if given is None else _exact(given, others[0])
    if origin is Literal:
        return _one(given, any(type(given) is type(choice) and given == choice for choice in arguments))
    if origin in (tuple, list):
        return _sequence(given, origin, arguments)
    if origin is dict:
        _one(given, isinstance(given, dict) and all(isinstance(key, str) for key in given))
        return {key: _exact(one, arguments[1]) for key, one in given.items()}
    if is_dataclass(kind):
        return _one(given, isinstance(given, kind))  # type: ignore[arg-type]
    if kind in (int, float):
        return _number(given, kind)
    return _one(given, isinstance(given, kind))


def _wanted(kind: Any, given: Any) -> str:
    """What the value must be, in words for a value from Python; empty if the words for the command line fit."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _wanted(next(one for one in arguments if one is not types.NoneType), given)
    if origin in (tuple, list) and not is_dataclass(arguments[0]) and get_origin(arguments[0]) is not Literal:
        count = "" if origin is list or arguments[-1] is Ellipsis else f"{len(arguments)} "
        return f"a list of {count}{SEVERAL.get(arguments[0], 'values')}"
    if is_dataclass(kind):
        return f"an object {kind.__name__}(...)"  # type: ignore[union-attr]
    if kind is int and type(given) is int:
        return "a whole number below 2**63"
    return "a finite number" if kind is float else ""


def _one(given: Any, fits: bool) -> Any:
    if not fits:
        raise Wrong
    return given


def _number(given: Any, kind: type) -> int | float:
    wanted = numbers.Integral if kind is int else numbers.Real
    if isinstance(given, bool) or not isinstance(given, wanted):
        raise Wrong
    value = int(given) if isinstance(given, numbers.Integral) else float(given)
    try:
        fits = abs(value) <= LARGEST if kind is int else math.isfinite(value)
    except OverflowError:  # a whole number above the largest float
        fits = False
    if not fits:
        raise Wrong
    return given if type(given) is type(value) else value


def _sequence(given: Any, origin: type, arguments: tuple[Any, ...]) -> Any:
    if not isinstance(given, list | tuple):
        raise Wrong
    if origin is tuple and arguments[-1] is not Ellipsis:
        _one(given, len(given) == len(arguments))
        kinds = arguments
    else:
        kinds = (arguments[0],) * len(given)
    values = origin(_exact(one, kind) for one, kind in zip(given, kinds, strict=True))
    return given if type(given) is type(values) and given == values else values
