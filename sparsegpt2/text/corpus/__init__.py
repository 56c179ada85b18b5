"""Corpora: sources of documents, by name, mixed by weight."""

from __future__ import annotations

from sparsegpt2.text.corpus.base import Corpus, CorpusConfig, corpus, corpus_names, mixed_documents, open_corpus

__all__ = ["Corpus", "CorpusConfig", "corpus", "corpus_names", "mixed_documents", "open_corpus"]
