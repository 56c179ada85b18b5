"""Where a model, a run, a tokenizer or something that names a model lies: one answer for every command and call.

A model is named by the directory that `save_model` wrote, by a run folder (`RUN`: its best checkpoint, else its last;
`RUN/best`, `RUN/last`), by `zoo:NAME` or by `hf:user/name[@revision]`. A tokenizer is named by its file, by a folder
that holds one, or by any of these.

What a file names (a circuit its model, a run its prepared text) may have moved since, so `candidates` also looks in the
file's own folder. Such a name is never an address that is fetched: `hf:` is for what a user types.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import settled
from sparsegpt2.locate import hub, zoo

CONFIG, WEIGHTS, MEANS, TOKENIZER = "config.json", "model.safetensors", "node_means.safetensors", "tokenizer.json"
FILES = (CONFIG, WEIGHTS, MEANS, TOKENIZER)
"""Files of a model; the last two only where it has them."""
CHECKPOINTS = ("best", "last")
"""Models of a run folder, in the order they are looked for."""


def model_directory(path: str | Path) -> Path:
    """The directory that holds the model `path` names; `UserError` says what is not there.

    `hf:user/name` is a model on the Hugging Face hub, and its directory a copy on this machine; `zoo:name` is one
    that came with the package.
    """
    if str(path).startswith(zoo.PREFIX):
        return zoo.directory(str(path))
    if str(path).startswith(hub.PREFIX):
        path = hub.download(str(path).removeprefix(hub.PREFIX), FILES)
    path = settled(path)
    if not path.exists():
        raise UserError(f"model {path} does not exist; give a directory written by save_model or by `sparsegpt2 train`")
    found = _holding(path, CONFIG)
    if found is None:
        raise UserError(f"{path} holds no model: there is no {CONFIG} in it, nor in its folders best and last")
    return found


def tokenizer_file(path: str | Path) -> Path:
    """The tokenizer.json that `path` names: itself, or the one of a folder or of any model; `UserError` for none."""
    if str(path).startswith(hub.PREFIX):
        path = hub.download(str(path).removeprefix(hub.PREFIX), (TOKENIZER,))
    elif str(path).startswith(zoo.PREFIX):
        path = zoo.directory(str(path))
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"tokenizer {path} does not exist; give a {TOKENIZER}, a folder that holds one, or a model")
    found = _holding(path, TOKENIZER)
    if found is None:
        raise UserError(f"tokenizer {path / TOKENIZER} does not exist, nor is there one in its folders best and last")
    return found / TOKENIZER


def is_published(path: str | Path) -> bool:
    """Whether `path` names a published model (`hf:`, `zoo:`), whose directory is not a place to write to."""
    return str(path).startswith((hub.PREFIX, zoo.PREFIX))


def run_folder(directory: str | Path) -> Path:
    """The run that a model directory is a checkpoint of; the directory itself when it is not a checkpoint.

    Checkpoint folders are replaced during a run, so files that must last are kept next to them, in the run's folder.
    """
    directory = Path(directory)
    return directory.parent if directory.resolve().name in CHECKPOINTS else directory


def reference(path: str | Path, file: str | Path) -> str:
    """How `file` names the model `path`, so that the name holds when both are moved together.

    Published models keep their name. A model that shares a folder with `file` is named from the folder of `file`
    (`../best`), another, on a place of its own, by its absolute path.
    """
    if is_published(path):
        return str(path)
    model, folder = Path(path).resolve(), Path(file).resolve().parent
    shared = Path(os.path.commonpath([model, folder]))
    return str(model) if shared == shared.parent else Path(os.path.relpath(model, folder)).as_posix()


def candidates(named: str, file: str | Path) -> Iterator[Path]:
    """Where the folder that `file` names may lie: from the file and its parents, from the working directory, as said.

    Of a name such as `runs/mine/best` its end (`mine/best`, `best`) is looked for as well, the nearest parent first:
    a folder that was moved or renamed as a whole is found. Only folders that exist are given, each once.
    """
    path, file = Path(named), Path(file).resolve()
    ends = [Path(*parts[at:]) for parts in [_own_parts(path)] for at in range(len(parts))]
    beside = [] if path.is_absolute() else [file.parent / path]
    near = [parent / end for end in ends for parent in file.parents]
    seen = set()
    for place in [*beside, *near, path]:
        resolved = Path(os.path.normpath(place if place.is_absolute() else Path.cwd() / place))
        if resolved not in seen and place.is_dir():
            seen.add(resolved)
            yield resolved


def _own_parts(path: Path) -> tuple[str, ...]:
    """The names in a path, without root, drive and `..`."""
    return tuple(part for part in path.parts if part not in (path.anchor, "..", "."))


def _holding(folder: Path, name: str) -> Path | None:
    """The first of the folder itself and its checkpoints that has a file `name`."""
    for place in (folder, *(folder / checkpoint for checkpoint in CHECKPOINTS)):
        if (settled(place) / name).exists():
            return settled(place)
    return None
