"""The corpus `hub`: a data set of the Hugging Face hub, streamed by `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.base import CorpusConfig, corpus
from sparsegpt2.text.files.decode import well_formed

SHUFFLE_BUFFER = 10_000
"""Rows that are kept in RAM to shuffle a stream."""


@corpus("hub")
class Hub:
    """A data set of the hub, streamed. Its rows are shuffled within a buffer of `SHUFFLE_BUFFER` rows."""

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


def stream(data_set: str, *, what: str, **settings: Any) -> Any:
    """Open a data set with `datasets.load_dataset`, as a stream; `UserError` if that fails in any way.

    what: the data set's name in messages. settings: more arguments of `load_dataset`.
    """
    from datasets import load_dataset

    try:
        return load_dataset(data_set, streaming=True, **settings)
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
            yield well_formed(row[field])


def cannot_read(what: str, error: Exception) -> UserError:
    """The `UserError` for any exception of `datasets`, which raises its own kinds and those of many libraries."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return UserError(f"{what} cannot be read: is there a network, and is the name right? ({reason})")
