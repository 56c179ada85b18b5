"""Text on which a model's activations are shown or measured, as N windows of `length` tokens."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.registry import unknown
from sparsegpt2.text.corpus import CORPORA, CorpusConfig, open_corpus
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.training_text import training_text

GENERATED = "tinypython"
"""The corpus to use if there is no other text. It needs nothing from disk or network."""

SEED = 1
"""Seed of the documents. It differs from the default in training, 0, so that other documents are generated."""


def text_to_look_at(directory: str | Path, count: int, length: int, corpus: str = "") -> tuple[Tensor, str]:
    """(windows, description): up to `count` windows [N, length] int64 in the tokens of the model in `directory`.

    They come from `corpus` (a registered name, or files) if it is given, else from the text that the model was trained
    on if that is still there, else from the generated corpus. `UserError` for a corpus that does not exist or is too
    short.
    """
    windows = None if corpus else training_text(directory, count, length)
    if windows is not None:
        return windows, "text it was trained on"
    return some_text(Tokenizer.load(directory), count, length, corpus)


def some_text(tokenizer: Tokenizer, count: int, length: int, corpus: str = "") -> tuple[Tensor, str]:
    """The same as `text_to_look_at`, but the text that the model was trained on is not looked for."""
    name = corpus or GENERATED
    return sample_windows(corpus_config(name), tokenizer, count, length), f"corpus {name}"


def corpus_config(name: str) -> CorpusConfig:
    """The corpus of that name, or the files at a path: `src`, `notes.txt`, `src/**/*.py`.

    A plain .py file counts as text. To use a corpus that it defines, write `my_corpus.py:NAME` or `module:NAME`.
    """
    if name in CORPORA.known():
        return CorpusConfig(name=name)
    if Path(name).exists() or any(sign in name for sign in "*?["):
        return CorpusConfig(name="files", path=name)
    require(":" in name, f"there is no file {name!r}, and " + unknown("corpus", name, CORPORA.known()))
    return CorpusConfig(name=name)


def sample_windows(config: CorpusConfig, tokenizer: Tokenizer, count: int, length: int) -> Tensor:
    """Up to `count` windows [N, length] int64 of a corpus: its documents in order, with end of text before each.

    No more documents are read than the windows need. `UserError` if there is not enough text for one window.
    """
    ids: list[int] = []
    for text in open_corpus(config).documents(SEED):
        ids += [tokenizer.end_of_text, *tokenizer.encode(text)]
        if len(ids) >= count * length:
            break
    full = min(count, len(ids) // length)
    if full == 0:
        raise UserError(f"corpus {config.path or config.name} has {len(ids)} tokens; a window needs {length}")
    return torch.tensor(ids[: full * length]).view(full, length)
