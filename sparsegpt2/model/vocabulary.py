"""Models whose vocabulary is larger than that of their tokenizer.

Many models have more ids than their tokenizer, because a multiple of 64 is faster (50,304 for GPT-2's 50,257). The
additional ids never occur in text and must never be an answer.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from sparsegpt2.config import require
from sparsegpt2.model.checkpoint import allocated, unfilled_model
from sparsegpt2.model.gpt import GPT

MOST_PADDING = 1024
"""The most ids of padding that a model may have. One with more was trained with another tokenizer."""


@torch.no_grad()
def without_padding(model: GPT, tokens: int) -> GPT:
    """`model` itself if its vocabulary has `tokens` ids, else a copy without the rows beyond them.

    Logits of the remaining ids do not change. `UserError` if the vocabulary is smaller, or larger by more than
    `MOST_PADDING`. Node means stay valid, since no site has an axis of ids.
    """
    have = model.config.vocab_size
    require(
        tokens <= have <= tokens + MOST_PADDING,
        f"the tokenizer has {tokens} tokens and the model {have}; give the tokenizer that the model was trained with",
    )
    if have == tokens:
        return model
    names = len(model.state_dict())
    fitted = allocated(unfilled_model(replace(model.config, vocab_size=tokens), names, "the model without padding"))
    for name, tensor in fitted.state_dict().items():
        source = model.state_dict()[name]
        tensor.copy_(source[tuple(slice(size) for size in tensor.shape)])
    fitted.means, fitted.source = model.means, model.source
    return fitted.train(model.training)
