"""Train a tokenizer on a corpus, with the package `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable

from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import SPLIT_PATTERN, Tokenizer


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> Tokenizer:
    """Train a byte-level BPE of `vocab_size` ids (256 bytes, merges, end of text) on `texts`, read one at a time.

    `UserError` if `vocab_size` is below 257, or if there is too little text for that many merges.
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
    learner.train_from_iterator(texts, trainer)
    vocab = learner.get_vocab()
    if len(vocab) + 1 < vocab_size:
        raise UserError(
            f"the text gives a vocabulary of only {len(vocab) + 1} tokens, not {vocab_size}: "
            f"lower vocab_size or give more text"
        )
    return Tokenizer.from_letters(vocab)
