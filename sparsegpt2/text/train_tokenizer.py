"""Train a tokenizer on a corpus, with the package `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count, islice, product

from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import SPLIT_PATTERN, Tokenizer, cut_runs

LONGEST_RUN = 2_000
"""Characters. A longer run without a space, or of nothing but spaces, is cut for training: the time that the trainer
takes grows with the square of the length of a word."""
NOT_UTF8 = (0xC0, 0xC1, *range(0xF5, 0x100))
"""Bytes that no text in UTF-8 has."""


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048, *, fill: bool = False) -> Tokenizer:
    """Train a byte-level BPE of `vocab_size` ids (256 bytes, merges, end of text) on `texts`, read one at a time.

    fill: if there is too little text for that many merges, fill the vocabulary with tokens that no text has: strings
    of bytes that are not UTF-8. Without `fill`, too little text is a `UserError`. So is a `vocab_size` below 257.
    """
    from tokenizers import Regex, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Trainable

    if vocab_size < 257:
        raise UserError(f"vocab_size is {vocab_size}; it must be at least 257 (256 bytes, end of text)")
    split = pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated")
    bytes_as_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Trainable(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_as_letters])
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - 1, initial_alphabet=alphabet, show_progress=False)
    learner.train_from_iterator((part for text in texts for part in cut_runs(text, LONGEST_RUN)), trainer)
    vocab = learner.get_vocab()
    if len(vocab) + 1 < vocab_size and not fill:
        raise UserError(
            f"the text gives a vocabulary of only {len(vocab) + 1} tokens, not {vocab_size}: "
            f"lower vocab_size or give more text"
        )
    ranks = Tokenizer.from_letters(vocab).ranks
    return Tokenizer(ranks | dict(zip(islice(never(), vocab_size - 1 - len(ranks)), count(len(ranks)), strict=False)))


def never() -> Iterator[bytes]:
    """Strings of bytes that no text in UTF-8 has.

    Each consists of an earlier string (or, if it has two bytes, of a single byte) and one byte more, so BPE can make it
    by merging two tokens.
    """
    for length in count(2):
        yield from map(bytes, product(NOT_UTF8, repeat=length))


def is_filler(token: bytes) -> bool:
    """Whether a token is one of the strings that `never` yields."""
    return len(token) > 1 and all(byte in NOT_UTF8 for byte in token)
