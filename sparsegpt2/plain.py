"""Plain values from files that may hold anything: text, JSON, and records that fit a dataclass.

Whatever a file holds, its reader gives values of the declared types or raises one `UserError`. Numbers are finite and
fit in 64 bits, texts can be written again, and nesting has a limit, so the code that uses them need not check.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from sparsegpt2.errors import UserError

DEEPEST = 64
"""Deepest nesting of lists and objects that is read."""
LARGEST = 2**63 - 1
SHOWN = 60
"""Most characters of a value that are quoted in a message."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""The JSON escape of one half of a surrogate pair. Without the other half it is text that UTF-8 cannot hold."""


# --- Files ----------------------------------------------------------------------------------------------------------


def require_file(path: str | Path, what: str = "file") -> None:
    """`UserError` unless `path` is a file. A library that opened a pipe instead would wait for a writer for ever.

    what: the kind of file, for messages.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # a null byte in the name
        raise UserError(f"{what} {str(path)!r} is not the name of a file ({error})") from None
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe or a device"
        raise UserError(f"{what} {path} cannot be read: it is a {kind}, not a file")


def read_bytes(path: str | Path, what: str = "file") -> bytes:
    """The content of a file. `UserError` if it cannot be read, or is no file. what: the kind of file, for messages."""
    require_file(path, what)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None


def read_text(path: str | Path, what: str = "file") -> str:
    """The UTF-8 text of a file, without a byte order mark. The only line end is `\\n`. Errors as in `read_bytes`."""
    data = read_bytes(path, what)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} {path} is not UTF-8 text ({error.reason} at byte {error.start})") from None


def stays_inside(name: str) -> bool:
    """Whether a path that a file names cannot leave the folder that it is relative to."""
    path = PurePosixPath(name)
    return (
        bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name
    )


# --- JSON -----------------------------------------------------------------------------------------------------------


def parse_json(text: str, source: str, *, nan_is_none: bool = False) -> Any:
    """The value of a JSON text; `UserError`, beginning with `source`, if it is not JSON, or nested too deeply.

    Numbers that are not finite or need more than 64 bits, and texts with half a character, are refused as well.
    nan_is_none: read NaN and infinities, which JSON does not have but Python writes, as None.
    """
    constant = (lambda _: None) if nan_is_none else _not_a_number
    try:
        value = json.loads(text, parse_constant=constant, parse_int=_whole, parse_float=_finite)
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise UserError(f"{source} is not valid JSON: it is nested too deeply") from None
    except UnicodeEncodeError:
        raise UserError(f"{source} holds half a character, an escape such as \\ud800 without its other half") from None
    except ValueError as error:
        raise UserError(f"{source} is not valid JSON ({error}); it may be truncated") from None
    if not shallow(value):
        raise UserError(f"{source} is nested too deeply: {DEEPEST} levels are read at most")
    return value


def shallow(value: Any, deepest: int = DEEPEST) -> bool:
    """Whether lists and dicts are nested at most `deepest` times."""
    level = [value]
    for _ in range(deepest + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def _not_a_number(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    value = int(text) if len(text) <= 20 else LARGEST + 1
    if not -LARGEST - 1 <= value <= LARGEST:
        raise ValueError(f"the number {text[:20]} does not fit in 64 bits")
    return value


# --- Types ----------------------------------------------------------------------------------------------------------


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain value has the annotated type: scalars, Literal, unions, list, tuple[T, ...] and dict[str, T].

    A list is accepted as a tuple, since JSON has no tuples, and an int as a float. A bool is not accepted as a number.
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(type(value) is type(argument) and value == argument for argument in arguments)
    if origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        kinds = list if origin is list else (list, tuple)
        return isinstance(value, kinds) and all(fits(item, arguments[0]) for item in value)
    if origin is tuple:
        same = isinstance(value, list | tuple) and len(value) == len(arguments)
        return same and all(fits(item, kind) for item, kind in zip(value, arguments, strict=True))
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(key, arguments[0]) and fits(item, arguments[1]) for key, item in value.items()
        )
    if isinstance(value, bool):  # in Python True is an int, in JSON true is not a number
        return hint is bool
    return isinstance(value, int | float) if hint is float else isinstance(value, hint)


def check(value: Any, hint: Any, name: str) -> Any:
    """`value`, if it has the annotated type; else a `UserError` that begins with `name`."""
    if not fits(value, hint):
        raise UserError(f"{name} cannot be {shown(value)}")
    return value


def check_record(kind: type, values: Any, source: str, *, others: bool = False) -> dict[str, Any]:
    """`values`, if it is a JSON object with the fields of the dataclass `kind`, each of its type; else a `UserError`.

    others: whether it may have other keys too, and lack some of the fields.
    """
    if not isinstance(values, dict):
        raise UserError(f"{source} is not a JSON object, but a {type(values).__name__}")
    hints = _hints(kind)
    for unknown in sorted(set(values) - set(hints)) if not others else ():
        raise UserError(f"{source} has the unknown field {str(unknown)[:SHOWN]!r}; a newer version may have written it")
    for field in fields(kind):
        if field.name not in values:
            if not others and field.default is MISSING and field.default_factory is MISSING:
                raise UserError(f"{source} lacks the field {field.name!r}")
        elif not fits(values[field.name], hints[field.name]):
            raise UserError(f"{source}: the field {field.name!r} cannot be {shown(values[field.name])}")
    return values


@contextmanager
def reading(source: str, remedy: str) -> Iterator[None]:
    """Turn the exceptions that a damaged record causes in the block into a `UserError` of one sentence.

    source: the record, the beginning of the sentence. remedy: what to do, the end of the sentence.
    """
    try:
        yield
    except UserError as error:
        if source in str(error):
            raise
        raise UserError(f"{source} is damaged ({error}); {remedy}") from None
    except KeyError as error:
        raise UserError(f"{source} is damaged (it lacks {str(error.args[0])[:SHOWN]!r}); {remedy}") from None
    except (IndexError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        raise UserError(f"{source} is damaged ({type(error).__name__}: {shown(str(error))}); {remedy}") from None


def shown(value: Any) -> str:
    """A short text, of one line, for a value in a message."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


@cache
def _hints(kind: type) -> dict[str, Any]:
    return {
        name: hint
        for name, hint in typing.get_type_hints(kind).items()
        if typing.get_origin(hint) is not typing.ClassVar
    }
