"""Corpora: sources of documents, by name, mixed by weight."""

from __future__ import annotations

from sparsegpt2.text.corpus.base import (
    CORPORA,
    Corpus,
    CorpusConfig,
    corpus,
    corpus_names,
    find_corpus,
    mixed_documents,
    open_corpus,
)

__all__ = [
    "CORPORA",
    "Corpus",
    "CorpusConfig",
    "corpus",
    "corpus_names",
    "find_corpus",
    "mixed_documents",
    "open_corpus",
]
