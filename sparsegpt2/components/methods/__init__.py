"""Component methods by name. Each file in this folder is one method.

A method's file defines `Settings` (a keyword-only frozen dataclass of the method's own settings), `OBJECTIVE` (the
objective that the method's paper uses, one of `config.OBJECTIVES`) and
`discover(problem, settings, progress=None) -> Discovery`. A method in your own file works the same way. It is named by
its path, by `module:attribute`, or through an entry point of the group `sparsegpt2.methods` (sparsegpt2/registry.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from typing import Any

from sparsegpt2.components.discovery import Discovery
from sparsegpt2.components.objectives import OBJECTIVES
from sparsegpt2.registry import Kind, takes


@dataclass(frozen=True)
class Method:
    """The contents of a method's file."""

    name: str
    settings: type
    objective: str
    discover: Callable[..., Discovery]
    summary: str
    """First line of the docstring of the method's file."""
    fingerprint: str = ""
    """16 hex digits of a hash of the source, if the method is your own; empty for a built-in method."""


def _flaw(discover: Any, holder: Any) -> str:
    if not takes(discover, 3):
        return "must be a function that takes (problem, settings, progress)"
    settings, objective = getattr(holder, "Settings", None), getattr(holder, "OBJECTIVE", None)
    if not (isinstance(settings, type) and is_dataclass(settings)):
        return "needs Settings next to it, a dataclass of the method's own settings"
    if objective not in OBJECTIVES:
        return f"needs OBJECTIVE next to it, one of {', '.join(OBJECTIVES)}"
    return ""


METHODS = Kind("method", "sparsegpt2.methods", "discover", _flaw, (__name__,))


def method_names() -> list[str]:
    """Names of the built-in methods."""
    return METHODS.names()


def get_method(name: str) -> Method:
    """The method of this name, path or `module:attribute`.

    `UserError` if there is no such method (the message lists all methods), or for a mistake in your own file.
    """
    found = METHODS.resolve(name)

    def discover(*arguments: Any) -> Discovery:
        discovery = found.thing(*arguments)
        if not isinstance(discovery, Discovery):
            raise found.mistake(f"the method must return a Discovery, not {type(discovery).__name__}")
        return discovery

    held = found.holder
    summary = (held.__doc__ or "").strip().split("\n")[0]
    return Method(found.name, held.Settings, held.OBJECTIVE, discover, summary, found.fingerprint)
