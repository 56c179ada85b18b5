"""What a corpus is, the registry of corpora by name, and mixing several by weight.

To add a corpus, write one file with a class or function under `@corpus("name")` that makes it from a `CorpusConfig`. In
this folder it is known by that name; a file of one's own is named by its path, by `module:attribute` or through an
entry point of the group `sparsegpt2.corpora` (registry.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from sparsegpt2.errors import UserError
from sparsegpt2.registry import Found, Kind, takes


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """One corpus of a mixture. Which of the fields below `weight` count depends on the corpus."""

    name: str = "tinypython"
    """tinypython, stdlib, files, hub, or one of your own: `my_corpus.py` or `module:attribute`."""
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


def corpus(
    name: str,
) -> Callable[[Callable[[CorpusConfig], Corpus]], Callable[[CorpusConfig], Corpus]]:
    """Mark a function or class that makes a corpus from its config; it is known by `name` from now on."""

    def mark(maker: Callable[[CorpusConfig], Corpus]) -> Callable[[CorpusConfig], Corpus]:
        maker.corpus_name = name  # type: ignore[attr-defined]
        CORPORA.introduce(name, maker)
        return maker

    return mark


def _marked(module: ModuleType) -> dict[str, Any]:
    """What a module itself marks as corpora, by the names it gives them."""
    found = [one for one in vars(module).values() if getattr(one, "__module__", None) == module.__name__]
    return {one.corpus_name: one for one in found if hasattr(one, "corpus_name")}


def _flaw(maker: Any, _holder: Any) -> str:
    if not takes(maker, 1):
        return "must be a class or function that takes a CorpusConfig"
    return _lacks(maker) if isinstance(maker, type) else ""


def _lacks(corpus: Any) -> str:
    """What a corpus, or a class of corpora, lacks."""
    for method, arguments in (("documents", "seed"), ("identity", "")):
        if not callable(getattr(corpus, method, None)):
            return f"needs a method {method}({arguments})"
    return ""


CORPORA = Kind("corpus", "sparsegpt2.corpora", "corpus", _flaw, ("sparsegpt2.text.corpus",), _marked)


def corpus_names() -> list[str]:
    """The names of the built-in corpora."""
    return CORPORA.names()


def find_corpus(name: str) -> Found:
    """The corpus of that name, path or `module:attribute`; an unknown one is a `UserError` that lists the known."""
    return CORPORA.resolve(name)


def open_corpus(config: CorpusConfig) -> Corpus:
    """Make the corpus a config names; `UserError` for an unknown one and for a mistake in a file of one's own."""
    found = find_corpus(config.name)
    made: Corpus = found.thing(config)
    if wrong := _lacks(made):
        raise found.mistake(f"the corpus {wrong}")
    return made


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
