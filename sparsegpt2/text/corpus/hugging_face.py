"""The corpora `files` (a user's own files) and `hub` (a data set of the Hugging Face hub), both read by `datasets`."""

from __future__ import annotations

import glob
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.base import CorpusConfig, corpus

TEXT_SUFFIXES = (".py", ".txt", ".md")
BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}
SHUFFLE_BUFFER = 10_000
"""Rows that are kept in RAM to shuffle a stream."""


@corpus("files")
class Files:
    """Files, a folder or a pattern: .py and text files are documents; jsonl and parquet files have them in a field."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config
        if config.path is None:
            raise UserError("corpus files needs a path: a file, a folder, or a pattern such as src/**/*.py")
        self.paths = find_files(config.path)

    def documents(self, seed: int) -> Iterator[str]:
        """Text files come first, then jsonl, then parquet; the order of the files of each kind depends on `seed`."""
        config = self.config
        by_builder: dict[str, list[str]] = {"text": [], "json": [], "parquet": []}
        for path in self.paths:
            by_builder[BUILDERS.get(path.suffix, "text")].append(str(path))
        for builder, paths in by_builder.items():
            if not paths:
                continue
            random.Random(seed).shuffle(paths)
            what = f"corpus files: {config.path}"
            if builder == "text":
                reading = {"sample_by": config.sample_by, "encoding_errors": "replace"}
                rows = stream("text", what=what, data_files=paths, split="train", **reading)
                yield from texts_of(rows, "text", what)
            else:
                rows = stream(builder, what=what, data_files=paths, split="train")
                yield from texts_of(rows.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER), config.text_field, what)

    def identity(self) -> str:
        states = [(path, path.stat()) for path in self.paths]
        return "\n".join(f"{path} {state.st_size} {state.st_mtime_ns}" for path, state in states)


@corpus("hub")
class Hub:
    """A data set of the hub, streamed. Rows are shuffled within a buffer."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config
        if config.path is None:
            raise UserError("corpus hub needs a path: the name of a data set, such as owner/name")

    def documents(self, seed: int) -> Iterator[str]:
        config = self.config
        what = f"hub data set {config.path}"
        rows = stream(str(config.path), what=what, name=config.subset, split=config.split)
        yield from texts_of(rows.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER), config.text_field, what)

    def identity(self) -> str:
        return f"{self.config.path} {self.config.subset} {self.config.split}"


def find_files(path: str) -> list[Path]:
    """The readable files at a path or matching a pattern, sorted; `UserError` if there are none."""
    known = (*TEXT_SUFFIXES, *BUILDERS)
    root = Path(path).expanduser()
    if root.is_file():
        return [root]
    if root.is_dir():
        found = [file for file in root.rglob("*") if file.suffix in known and file.is_file()]
    else:
        found = [Path(file) for file in glob.glob(str(root), recursive=True) if Path(file).is_file()]
        if not found:
            raise UserError(f"corpus files: {path} is neither a file, nor a folder, nor a pattern that matches a file")
    if not found:
        raise UserError(f"corpus files: folder {path} holds no file whose name ends in {', '.join(known)}")
    return sorted(found)


def stream(builder: str, *, what: str, **settings: Any) -> Any:
    """`datasets.load_dataset`, streaming; a `UserError` in one sentence if it fails in any way."""
    from datasets import load_dataset

    try:
        return load_dataset(builder, streaming=True, **settings)
    except Exception as error:
        raise cannot_read(what, error) from error


def texts_of(rows: Iterable[dict[str, Any]], field: str, what: str) -> Iterator[str]:
    """The text of each row; rows without text are skipped. `UserError` if a row lacks the field."""
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator, None)
        except Exception as error:
            raise cannot_read(what, error) from error
        if row is None:
            return
        if field not in row:
            raise UserError(f"{what} has no field {field!r}; set text_field to one of {', '.join(row)}")
        if isinstance(row[field], str) and row[field]:
            yield row[field]


def cannot_read(what: str, error: Exception) -> UserError:
    """The `UserError` for any exception of `datasets`, which raises its own kinds and those of many libraries."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if what.startswith("hub"):
        return UserError(f"{what} cannot be read: is there a network, and is the name right? ({reason})")
    return UserError(f"{what} cannot be read ({reason})")
