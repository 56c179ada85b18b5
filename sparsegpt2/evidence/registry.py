"""Checks by name: each file of `checks` is one, and sets `CHECK`.

A check in your own file works the same way. It is named by its path, by `module:attribute`, or through an entry point
of the group `sparsegpt2.checks` (registry.py). Your own checks run only if they are named.
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
    """One question about a circuit."""

    asks: str
    """The question, in one line."""
    run: Callable[[Case, Progress], Finding]
    """The function that answers it."""
    expensive: bool = False
    """Whether it trains or prunes again; such checks run last and can be left out."""


def _flaw(check: Any, _holder: Any) -> str:
    if not isinstance(check, Check):
        return f"must be a Check, not {type(check).__name__}"
    if not takes(check.run, 2):
        return "must have a run that takes (case, progress)"
    return ""


CHECKS = Kind("check", "sparsegpt2.checks", "CHECK", _flaw, ("sparsegpt2.evidence.checks",))


def check_names() -> list[str]:
    """Names of the built-in checks: fast ones first, then by name."""
    return in_order(CHECKS.names())


def get_check(name: str) -> Check:
    """The check of that name, path or `module:attribute`.

    `UserError` for an unknown one (it lists all checks), and for a mistake in your own file.
    """
    check: Check = CHECKS.resolve(name).thing
    return check


def plain_checks(names: Iterable[str]) -> tuple[str, ...]:
    """Load the checks and return their plain names, in the given order; these find them from now on."""
    return tuple(CHECKS.resolve(name).name for name in names)


def in_order(names: Iterable[str]) -> list[str]:
    """Checks in the order in which they run: fast ones first, then by name."""
    return sorted(names, key=lambda name: (get_check(name).expensive, name))


def check_sources(names: Iterable[str]) -> dict[str, str]:
    """Your own checks among `names` -> 16 hex digits of their source, so that an edited check is run again."""
    return {name: source for name in sorted(names) if (source := CHECKS.fingerprint(name))}
