"""Trained models that come with the package: `zoo:NAME`, a folder each in sparsegpt2/zoo."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.registry import unknown

PREFIX = "zoo:"
FOLDER = Path(__file__).parents[1] / "zoo"


def names() -> list[str]:
    """Names of the models there are, sorted."""
    return sorted(entry.parent.name for entry in FOLDER.glob("*/config.json"))


def directory(name: str) -> Path:
    """The folder of the model `name`, with or without `zoo:` in front; an unknown name is a `UserError`."""
    name, known = name.removeprefix(PREFIX), names()
    if name not in known:
        if not known:
            raise UserError(f"there is no model {name!r} in the zoo; this copy of the package has none")
        raise UserError(unknown("model", name, known, where=" in the zoo"))
    return FOLDER / name
