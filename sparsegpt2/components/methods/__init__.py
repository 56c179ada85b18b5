"""Discovery methods by name: each file here is one.

A method's file defines `Settings` (a keyword-only frozen dataclass of what is its own), `OBJECTIVE` (its paper's, from
`objectives.OBJECTIVES`) and `discover(problem, settings, progress=None) -> Discovery`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsegpt2.components.discovery import Discovery
from sparsegpt2.errors import UserError


@dataclass(frozen=True)
class Method:
    """What a method's file holds."""

    name: str
    settings: type
    objective: str
    discover: Callable[..., Discovery]

    @property
    def summary(self) -> str:
        """First line of the file."""
        return (importlib.import_module(f"{__name__}.{self.name}").__doc__ or "").splitlines()[0]


def method_names() -> list[str]:
    """The methods there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get_method(name: str) -> Method:
    """The method of that name; an unknown one is a `UserError` that lists what there is."""
    if name not in method_names():
        raise UserError(f"there is no method {name!r}; there are {', '.join(method_names())}")
    module: Any = importlib.import_module(f"{__name__}.{name}")
    return Method(name, module.Settings, module.OBJECTIVE, module.discover)
