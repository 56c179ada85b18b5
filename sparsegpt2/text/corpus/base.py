"""What a corpus is, the registry of corpora by name, and mixing several by weight.

To add a corpus, write one file in this folder with a function under `@corpus("name")` that makes it from a
`CorpusConfig`; it can then be named in a configuration.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sparsegpt2.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One corpus of a mixture. Which of the fields below `weight` count depends on the corpus."""

    name: str = "tinypython"
    """Registered name: tinypython, stdlib, files, hub, or one of your own."""
    weight: float = 1.0
    """Share of the mixture's text, in UTF-8 bytes, relative to the other corpora's weights."""
    path: str | None = None
    """files: a file, a folder, or a pattern such as `src/**/*.py`. hub: the name of the data set."""
    text_field: str = "text"
    """files (jsonl, parquet) and hub: the field that holds the text of a document."""
    sample_by: str = "document"
    """files (.py, text): a document is a whole file ("document"), a "paragraph" or a "line"."""
    subset: str | None = None
    """hub: the data set's configuration, where it has several."""
    split: str = "train"
    """hub: the data set's split."""
    site_packages: bool = False
    """stdlib: whether to take the installed packages' sources too."""

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise UserError(f"the weight of corpus {self.name} is {self.weight}; it must be above 0")
        if self.sample_by not in ("document", "paragraph", "line"):
            raise UserError(f"sample_by is {self.sample_by!r}; it must be document, paragraph or line")


class Corpus(Protocol):
    """A source of documents."""

    def documents(self, seed: int) -> Iterator[str]:
        """Documents in an order that `seed` alone decides; endless for a generator."""
        ...

    def identity(self) -> str:
        """A text that changes whenever the documents would: tells prepared data that it is out of date."""
        ...


_MAKERS: dict[str, Callable[[CorpusConfig], Corpus]] = {}


def corpus(
    name: str,
) -> Callable[[Callable[[CorpusConfig], Corpus]], Callable[[CorpusConfig], Corpus]]:
    """Register a function or class that makes a corpus from its config, under `name`."""

    def register(maker: Callable[[CorpusConfig], Corpus]) -> Callable[[CorpusConfig], Corpus]:
        _MAKERS[name] = maker
        return maker

    return register


def corpus_names() -> list[str]:
    """The names of all registered corpora."""
    package = importlib.import_module("sparsegpt2.text.corpus")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"sparsegpt2.text.corpus.{module.name}")
    return sorted(_MAKERS)


def open_corpus(config: CorpusConfig) -> Corpus:
    """Make the corpus a config names; an unknown name is a `UserError` that lists the known ones."""
    names = corpus_names()
    if config.name not in _MAKERS:
        raise UserError(f"there is no corpus {config.name!r}; there are {', '.join(names)}")
    return _MAKERS[config.name](config)


def mixed_documents(corpora: list[tuple[Corpus, float]], seed: int) -> Iterator[str]:
    """Documents of (corpus, weight) pairs, so that at every point the bytes given follow the weights.

    The next document comes from the corpus that is furthest behind its share; one that ends leaves the mixture.
    No document is repeated.
    """
    streams = [source.documents(seed) for source, _ in corpora]
    weights = [weight for _, weight in corpora]
    given = [0.0] * len(corpora)  # bytes divided by weight
    running = list(range(len(corpora)))
    while running:
        behind = min(running, key=given.__getitem__)
        text = next(streams[behind], None)
        if text is None:
            running.remove(behind)
            continue
        given[behind] += len(text.encode("utf-8", errors="replace")) / weights[behind]
        yield text
