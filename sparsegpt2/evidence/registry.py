"""Checks by name: each file of `checks` is one, and sets `CHECK`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from sparsegpt2.errors import UserError
from sparsegpt2.evidence import checks as folder
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question asked of a circuit."""

    asks: str
    """The question, in one line."""
    run: Callable[[Case, Progress], Finding]
    """Answers it."""
    dear: bool = False
    """Whether it trains or prunes anew; such checks run last and can be left out."""


def check_names() -> list[str]:
    """The checks there are: cheap ones first, then by name."""
    names = [module.name for module in pkgutil.iter_modules(folder.__path__)]
    return sorted(names, key=lambda name: (get_check(name).dear, name))


def get_check(name: str) -> Check:
    """The check of that name; an unknown one is a `UserError` that lists what there is."""
    if name not in {module.name for module in pkgutil.iter_modules(folder.__path__)}:
        raise UserError(f"there is no check {name!r}; there are {', '.join(check_names())}")
    check: Check = importlib.import_module(f"{folder.__name__}.{name}").CHECK
    return check
