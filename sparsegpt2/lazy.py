"""Packages that import what they name only when it is asked for, so that `--help` need not wait for torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazily(package: str) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose `if TYPE_CHECKING:` block says where its names come from.

        if TYPE_CHECKING:
            from package.module import Name
        __all__ = ["Name"]
        __getattr__ = lazily(__name__)

    One block serves the type checker and the running program.
    """
    places: dict[str, str] = {}

    def get(name: str) -> Any:
        if not places:
            places.update(_places(package))
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(places[name]), name)
        setattr(sys.modules[package], name, value)  # the next look finds it without this function
        return value

    return get


def _places(package: str) -> dict[str, str]:
    """Name -> the module that it is imported from, under TYPE_CHECKING."""
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    return {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }
