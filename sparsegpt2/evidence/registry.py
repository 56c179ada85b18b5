"""Checks by name. Each file in the folder `checks` is one check and sets `CHECK`.

A check in your own file works the same way. It is named by its path, by `module:attribute`, or through an entry point
of the group `sparsegpt2.checks` (sparsegpt2/registry.py). Your own checks run only if they are named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress
from sparsegpt2.registry import Kind, takes


@dataclass(frozen=True, kw_only=True)
class Check:
    """One question about a circuit, and the function that answers it."""

    asks: str
    """The question, in one line."""
    run: Callable[[Case, Progress], Finding]
    """Answers the question."""
    expensive: bool = False
    """Whether the check trains or prunes. Expensive checks run last and can be left out."""


def _flaw(check: Any, _holder: Any) -> str:
    if not isinstance(check, Check):
        return f"must be a Check, not {type(check).__name__}"
    if not takes(check.run, 2):
        return "must have a run that takes (case, progress)"
    return ""


CHECKS = Kind("check", "sparsegpt2.checks", "CHECK", _flaw, ("sparsegpt2.evidence.checks",))


def check_names() -> list[str]:
    """Names of the built-in checks: first the fast ones and then the expensive ones, each sorted by name."""
    return in_order(CHECKS.names())


def get_check(name: str) -> Check:
    """The check of this name, path or `module:attribute`.

    `UserError` if there is no such check (the message lists all checks), or for a mistake in your own file.
    """
    check: Check = CHECKS.resolve(name).thing
    return check


def plain_checks(names: Iterable[str]) -> tuple[str, ...]:
    """Load checks given by name, path or `module:attribute`, and return their plain names in the same order.

    The plain name of a built-in check is its name; that of a check at the path `mine.py` is `mine`. From then on,
    `get_check` finds each check by its plain name.
    """
    return tuple(CHECKS.resolve(name).name for name in names)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort checks in the order in which they run: first fast and then expensive ones, each sorted by name."""
    return sorted(names, key=lambda name: (get_check(name).expensive, name))


def check_sources(names: Iterable[str]) -> dict[str, str]:
    """Name of each of your own checks among `names` -> 16 hex digits of a hash of its source.

    If the hash changes, the check was edited and is run again.
    """
    return {name: source for name in sorted(names) if (source := CHECKS.fingerprint(name))}
