"""Find the folder of a model, a run or a tokenizer. All commands and Python functions use these rules.

A model can be named in four ways: by the directory that `save_model` wrote; by the folder of a run, which means its
best checkpoint if there is one and otherwise its last (`RUN/best` and `RUN/last` name one of the two); by `zoo:NAME`;
or by `hf:user/name[@revision]`. A tokenizer can be named by its file, by a folder that contains it, or by a model.

A file can also name a folder: a circuit names its model, and a run names its prepared text. That folder may have been
moved since the file was written, so `candidates` also looks near the file. A name that was read from a file is never
downloaded. Only a name that a user types may start with `hf:`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import settled
from sparsegpt2.locate import hub, zoo
from sparsegpt2.locate.foreign import refuse_foreign

CONFIG, WEIGHTS, MEANS, TOKENIZER = "config.json", "model.safetensors", "node_means.safetensors", "tokenizer.json"
FILES = (CONFIG, WEIGHTS, MEANS, TOKENIZER)
"""Files of a model. A model may lack the last two."""
CHECKPOINTS = ("best", "last")
"""Checkpoints of a run, each the name of a folder with a model, in the order in which they are tried."""


def model_directory(path: str | Path) -> Path:
    """The directory of the model that `path` names. `UserError`, which says what is missing, if there is no model.

    `hf:user/name` is a model on the Hugging Face hub; its directory is a copy on this machine, downloaded if necessary.
    `zoo:name` is a model that came with the package or was fetched with `sparsegpt2 zoo --get`.
    """
    if str(path).startswith(zoo.PREFIX):
        return zoo.directory(str(path))
    if str(path).startswith(hub.PREFIX):
        name = str(path).removeprefix(hub.PREFIX)
        refuse_foreign(hub.download(name, (CONFIG,)), str(path))  # before the weights are downloaded
        path = hub.download(name, FILES)
    path = settled(path)
    if not path.exists():
        raise UserError(f"model {path} does not exist; give a directory written by save_model or by `sparsegpt2 train`")
    found = _holding(path, CONFIG)
    if found is None:
        raise UserError(f"{path} contains no model: it has no {CONFIG}, and neither do its folders best and last")
    return found


def tokenizer_file(path: str | Path) -> Path:
    """The tokenizer.json that `path` names; `UserError` if there is none.

    path: the file itself, a folder that contains it, or any name of a model.
    """
    if str(path).startswith(hub.PREFIX):
        path = hub.download(str(path).removeprefix(hub.PREFIX), (TOKENIZER,))
    elif str(path).startswith(zoo.PREFIX):
        path = zoo.directory(str(path))
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"tokenizer {path} does not exist; give a {TOKENIZER}, a folder that contains one, or a model")
    found = _holding(path, TOKENIZER)
    if found is None:
        raise UserError(f"tokenizer {path / TOKENIZER} does not exist, and the folders best and last have none either")
    return found / TOKENIZER


def is_published(path: str | Path) -> bool:
    """Whether `path` names a published model (`hf:` or `zoo:`). Nothing may be written to such a model's directory."""
    return str(path).startswith((hub.PREFIX, zoo.PREFIX))


def run_folder(directory: str | Path) -> Path:
    """The run folder of a checkpoint. If the model in `directory` is not a checkpoint, `directory` itself.

    Checkpoint folders are replaced during a run, so files that must last are kept in the run's folder.
    """
    directory = Path(directory)
    return directory.parent if directory.resolve().name in CHECKPOINTS else directory


def reference(path: str | Path, file: str | Path) -> str:
    """The name under which `file` should refer to the model `path`.

    A published model keeps its name. Any other model gets its path relative to the folder of `file`, such as `../best`,
    which remains valid if both are moved together. If the two have no folder in common except the root of the file
    system, the model gets its absolute path.
    """
    if is_published(path):
        return str(path)
    model, folder = Path(path).resolve(), Path(file).resolve().parent
    shared = Path(os.path.commonpath([model, folder]))
    return str(model) if shared == shared.parent else Path(os.path.relpath(model, folder)).as_posix()


def candidates(named: str, file: str | Path) -> Iterator[Path]:
    """Folders that `file` may mean by the path `named`. Only folders that exist are yielded, each once.

    First comes the path relative to the folder of `file`. Then each end of the path, from the longest to the shortest
    (`runs/mine/best`, `mine/best`, `best`), is looked for in the folder of `file` and in each folder above it. So a
    folder is found that was moved or renamed together with the file. Last comes the path as written, relative to the
    working directory.
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
    """The parts of a path, without the root, the drive, `.` and `..`."""
    return tuple(part for part in path.parts if part not in (path.anchor, "..", "."))


def _holding(folder: Path, name: str) -> Path | None:
    """The first of `folder` and its checkpoints that contains a file `name`; None if none does."""
    for place in (folder, *(folder / checkpoint for checkpoint in CHECKPOINTS)):
        if (settled(place) / name).exists():
            return settled(place)
    return None
