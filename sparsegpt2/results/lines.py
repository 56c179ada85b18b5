"""A row as a line of JSON, read strictly. Field values that earlier versions wrote are translated."""

from __future__ import annotations

import json
import types
import typing
from dataclasses import MISSING, asdict, fields
from functools import cache
from typing import Any, Literal

from sparsegpt2.errors import UserError
from sparsegpt2.results.rows import Row

FORMER_STATUS = {"has not": "lacks the task"}
"""Status as earlier versions wrote it -> as it is now. The identity of a row does not depend on it."""


def row_line(row: Row) -> str:
    """The row as one line of JSON, newline included; `ValueError` for NaN or infinity, which JSON cannot hold."""
    return json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) + "\n"


def parse_row(line: str, source: str) -> Row:
    """A row from its JSON. `source` (file and line) is the start of the message of any `UserError`."""
    try:
        values = json.loads(line, parse_constant=_reject_constant)
    except ValueError as error:
        raise UserError(
            f"{source} is not complete JSON ({error}); if a benchmark was interrupted there, run it again to repair it"
        ) from None
    if not isinstance(values, dict):
        raise UserError(f"{source} is not a JSON object, but a {type(values).__name__}")
    status = values.get("status")
    if isinstance(status, str):
        values["status"] = FORMER_STATUS.get(status, status)
    hints = _row_hints()
    for unknown in sorted(set(values) - set(hints)):
        raise UserError(f"{source} has the unknown field {unknown!r}; a newer version may have written it")
    for item in fields(Row):
        if item.name not in values:
            if item.default is MISSING and item.default_factory is MISSING:
                raise UserError(f"{source} lacks the field {item.name!r}")
        elif not _matches(values[item.name], hints[item.name]):
            raise UserError(f"{source}: the field {item.name!r} cannot be {json.dumps(values[item.name])[:60]}")
    try:
        return Row(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


@cache
def _row_hints() -> dict[str, Any]:
    return typing.get_type_hints(Row)


def _matches(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the annotated type: scalars, Literal, unions, list[...] and dict[str, ...]."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if origin is Literal:
        return value in arguments
    if origin is list:
        return isinstance(value, list) and all(_matches(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(_matches(item, arguments[1]) for item in value.values())
    if hint is Any:
        return True
    if isinstance(value, bool):  # in Python True is an int, in JSON true is not a number
        return hint is bool
    return isinstance(value, (int, float)) if hint is float else isinstance(value, hint)


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
