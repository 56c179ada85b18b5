"""Find the trained models that belong to the package, which are named `zoo:NAME`.

Each is a folder in sparsegpt2/zoo. A clone of the repository has all of these folders, an installed package only a few.
`sparsegpt2 zoo --get NAME` fetches another one into the user's cache. `index.json` lists all models, with the checksum
of each file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.plain import check, check_record, reading, shown
from sparsegpt2.registry import unknown

PREFIX = "zoo:"
FOLDER = Path(__file__).parents[1] / "zoo"
INDEX = "index.json"
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class File:
    """What the index says of one file of a model."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Facts:
    """What the list of models shows of one model."""

    n_layer: int
    d_model: int
    context: int
    l0: int
    held_out_loss: float | None
    """In nats per token; None if its training did not record it."""
    had: int | None
    """Number of tasks that it has. If it was not benchmarked, this, `counted` and `edges` are None."""
    tasks: int
    """Number of tasks that were tried; 0 if it was not benchmarked."""
    counted: int | None
    """Number of tasks that count (docs/definitions.md, Score)."""
    edges: float | None
    """Geometric mean of its circuits' sizes over the tasks that count."""


def names() -> list[str]:
    """Sorted names of all models of the zoo, including those that are not on this machine."""
    return sorted({entry.parent.name for entry in FOLDER.glob("*/config.json")} | set(index()))


def index() -> dict[str, dict[str, Any]]:
    """Content of index.json: name of a model -> its "files" (file name -> {"bytes", "sha256"}) and its "facts"."""
    path = FOLDER / INDEX
    if not path.exists():
        return {}
    with reading(f"the zoo's index {path}", "restore it from the package"):
        models = check(read_json(path, "the zoo's index")["models"], dict[str, dict[str, dict[str, Any]]], "models")
        for name, model in models.items():
            if not is_name(name):
                raise UserError(f"{shown(name)} is not the name of a model")
            for file, stated in model["files"].items():
                if not is_name(file):
                    raise UserError(f"{shown(file)} is not the name of a file")
                check_record(File, stated, file)
            check_record(Facts, model["facts"], name)
    return models


def is_name(name: str) -> bool:
    """Whether a name can be that of a model or of a file in its folder: no path, and nothing hidden."""
    return bool(NAME.fullmatch(name))


def directory(name: str) -> Path:
    """The folder of the model `name`, which may start with `zoo:`.

    `UserError` if there is no such model or if it is not on this machine.
    """
    name = known(name)
    found = here(name)
    if found is None:
        raise UserError(f"{PREFIX}{name} is not on this machine; get it with `sparsegpt2 zoo --get {name}`")
    return found


def known(name: str) -> str:
    """`name` without `zoo:` at its start; `UserError` if the zoo has no such model, on this machine or elsewhere."""
    name, there_are = name.removeprefix(PREFIX), names()
    if name not in there_are:
        if not there_are:
            raise UserError(f"there is no model {name!r} in the zoo; this copy of the package has none")
        raise UserError(unknown("model", name, there_are, where=" in the zoo"))
    return name


def here(name: str) -> Path | None:
    """The folder of a model that came with the package or was fetched; None if it is not on this machine."""
    places = [FOLDER / name, *([cached(name)] if name in index() else [])]
    return next((place for place in places if (place / "config.json").exists()), None)


def cached(name: str) -> Path:
    """The folder that a model of the index is fetched into. Each version of a model has a different folder."""
    version = hashlib.sha256(json.dumps(index()[name]["files"], sort_keys=True).encode()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():  # the XDG specification says to ignore a relative path
        caches = Path.home() / ".cache"
    return caches / "sparsegpt2" / "zoo" / version / name
