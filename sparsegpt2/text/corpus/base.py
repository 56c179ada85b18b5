"""What a corpus is, the registry of corpora by name, and mixing several corpora by weight.

To add a corpus, write a file with a class or function that makes it from a `CorpusConfig`, and decorate it with
`@corpus("name")`. A corpus in this folder is found by that name. Your own file is found by its path, by
`module:attribute`, or through an entry point of the group `sparsegpt2.corpora` (see sparsegpt2/registry.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from sparsegpt2.errors import UserError
from sparsegpt2.registry import Found, Kind, takes
from sparsegpt2.settings.fields import check_fields
from sparsegpt2.text.corpus.interleave import interleave


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One corpus of a mixture. Which fields after `weight` have an effect depends on the corpus."""

    name: str = "tinypython"
    """tinypython, stdlib, files, hub, or one of your own: `my_corpus.py` or `module:attribute`."""
    weight: float = 1.0
    """Share of the mixture's text, in UTF-8 bytes, relative to the other corpora's weights."""
    path: str | None = None
    """files: a file, a folder, or a pattern such as `src/**/*.py`. hub: the name of the data set."""
    text_field: str = "text"
    """files (jsonl, csv, parquet) and hub: the field with the text of a document. The default also finds content, code,
    body and document in files."""
    sample_by: str = "document"
    """files (texts): a document is a whole file ("document"), a "paragraph" or a "line"."""
    subset: str | None = None
    """hub: the data set's configuration, if it has several."""
    split: str = "train"
    """hub: the data set's split."""
    site_packages: bool = False
    """stdlib: whether to add the sources of the installed packages."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.weight > 0:
            raise UserError(f"the weight of corpus {self.name} is {self.weight}; it must be above 0")
        if self.sample_by not in ("document", "paragraph", "line"):
            raise UserError(f"sample_by is {self.sample_by!r}; it must be document, paragraph or line")


class Corpus(Protocol):
    """A source of documents."""

    def documents(self, seed: int) -> Iterator[str]:
        """The documents, in an order that depends only on `seed`. A corpus that generates its documents never ends."""
        ...

    def identity(self) -> str:
        """A text that changes whenever the documents change, so that prepared data of the old ones is not reused."""
        ...


def corpus(
    name: str,
) -> Callable[[Callable[[CorpusConfig], Corpus]], Callable[[CorpusConfig], Corpus]]:
    """Register the decorated function or class, which makes a corpus from its config, as `name`."""

    def mark(maker: Callable[[CorpusConfig], Corpus]) -> Callable[[CorpusConfig], Corpus]:
        maker.corpus_name = name  # type: ignore[attr-defined]
        CORPORA.introduce(name, maker)
        return maker

    return mark


def _marked(module: ModuleType) -> dict[str, Any]:
    """Name -> what `@corpus` decorates, for the corpora that a module itself defines (not those that it imports)."""
    found = [one for one in vars(module).values() if getattr(one, "__module__", None) == module.__name__]
    return {one.corpus_name: one for one in found if hasattr(one, "corpus_name")}


def _flaw(maker: Any, _holder: Any) -> str:
    """What is wrong with what was registered as a corpus, as the end of a sentence; empty if nothing is."""
    if not takes(maker, 1):
        return "must be a class or function that takes a CorpusConfig"
    return _lacks(maker) if isinstance(maker, type) else ""


def _lacks(corpus: Any) -> str:
    """The method that a corpus, or a class of corpora, lacks, as the end of a sentence; empty if it lacks none."""
    for method, arguments in (("documents", "seed"), ("identity", "")):
        if not callable(getattr(corpus, method, None)):
            return f"needs a method {method}({arguments})"
    return ""


CORPORA = Kind("corpus", "sparsegpt2.corpora", "corpus", _flaw, ("sparsegpt2.text.corpus",), _marked)


def corpus_names() -> list[str]:
    """The names of the built-in corpora."""
    return CORPORA.names()


def find_corpus(name: str) -> Found:
    """Look up a corpus by name, path or `module:attribute`. The `UserError` for an unknown name lists those known."""
    return CORPORA.resolve(name)


def open_corpus(config: CorpusConfig) -> Corpus:
    """Make the corpus that a config names; `UserError` for an unknown one, and for a mistake in a user's own file."""
    found = find_corpus(config.name)
    made: Corpus = found.thing(config)
    if wrong := _lacks(made):
        raise found.mistake(f"the corpus {wrong}")
    return made


def mixed_documents(corpora: list[tuple[Corpus, float]], seed: int) -> Iterator[str]:
    """Mix the documents of (corpus, weight) pairs, so that each corpus always has about its share of the bytes so far.

    A corpus that ends leaves the mixture: no document is repeated.
    """
    return interleave([(source.documents(seed), weight) for source, weight in corpora])
