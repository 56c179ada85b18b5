"""The functions that markers name. Each is one table, sentence or number; its arguments are words."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from studies.pages.markers import MarkerError

FUNCTIONS: dict[str, Callable[..., str]] = {}
MODULES = ("models", "ratios", "fair", "pruners", "evidence", "circuits", "compiled", "speed")
"""Modules of this package whose functions register themselves with `number`."""


def number(function: Callable[..., str]) -> Callable[..., str]:
    """Make a function nameable in markers, by its own name."""
    assert function.__name__ not in FUNCTIONS, function.__name__
    FUNCTIONS[function.__name__] = function
    return function


def value(marker: str) -> str:
    """What a marker holds: `edges main dense-80 task=var_if` -> `edges("main", "dense-80", task="var_if")`."""
    for module in MODULES:
        importlib.import_module(f"studies.pages.{module}")
    name, *words = marker.split()
    if name not in FUNCTIONS:
        raise MarkerError(f"{name!r} is no number; there are {', '.join(sorted(FUNCTIONS))}")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    try:
        return FUNCTIONS[name](*(word for word in words if "=" not in word), **options)
    except (KeyError, TypeError) as error:
        raise MarkerError(f"{marker!r}: {type(error).__name__}: {error}") from error
