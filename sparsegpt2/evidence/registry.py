"""Checks by name: each file of `checks` is one, and sets `CHECK`.

So does a file of one's own, named by its path, by `module:attribute` or through an entry point of the group
`sparsegpt2.checks` (registry.py); such checks are run where they are named.
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
    """One question asked of a circuit."""

    asks: str
    """The question, in one line."""
    run: Callable[[Case, Progress], Finding]
    """Answers it."""
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
    """The built-in checks: cheap ones first, then by name."""
    return in_order(CHECKS.names())


def get_check(name: str) -> Check:
    """The check of that name, path or `module:attribute`.

    `UserError` for an unknown one, which lists all, and for a mistake in a file of one's own.
    """
    check: Check = CHECKS.resolve(name).thing
    return check


def plain_checks(names: Iterable[str]) -> tuple[str, ...]:
    """The checks' plain names, in the order given; from now on they are known by them."""
    return tuple(CHECKS.resolve(name).name for name in names)


def in_order(names: Iterable[str]) -> list[str]:
    """Checks in the order they are run: cheap ones first, then by name."""
    return sorted(names, key=lambda name: (get_check(name).expensive, name))


def check_sources(names: Iterable[str]) -> dict[str, str]:
    """Of those checks that are one's own, 16 hex digits of the source: an edited check is another one."""
    return {name: source for name in sorted(names) if (source := CHECKS.fingerprint(name))}
