"""Let a package import its names only when they are used, so that `--help` does not wait for torch."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def lazily(package: str) -> Callable[[str], Any]:
    """A `__getattr__` for a package. It imports names from the modules in the package's `if TYPE_CHECKING:` block.

        if TYPE_CHECKING:
            from package.module import Name
        __all__ = ["Name"]
        __getattr__ = lazily(__name__)

    In this way the type checker and the running program use the same block.
    """
    places: dict[str, str] = {}

    def get(name: str) -> Any:
        if not places:
            places.update(_places(package))
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(places[name]), name)
        setattr(sys.modules[package], name, value)  # the next access finds it without calling this function
        return value

    return get


def _places(package: str) -> dict[str, str]:
    """Name -> the module that the TYPE_CHECKING block imports it from."""
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
