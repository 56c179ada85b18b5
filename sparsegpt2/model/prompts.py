"""The input and output of a model: texts and rows of tokens in, sampled tokens out.

Shapes: B rows, T tokens of a prompt, N new tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sparsegpt2.config import GPTConfig, require
from sparsegpt2.errors import UserError, UserTypeError

if TYPE_CHECKING:
    from sparsegpt2.text.tokenizer import Tokenizer

Prompt = Tensor | str | Sequence[int]
"""Rows of tokens [B, T], one row [T] (a tensor or a list), or a text."""


def text_row(text: str, tokenizer: Tokenizer | None, device: torch.device) -> Tensor:
    """[1, T] int64: end of text, then the tokens of `text`. In training every document starts this way."""
    if tokenizer is None:
        raise UserError("the model has no tokenizer, so it cannot read a text; set model.tokenizer, or give token ids")
    return torch.tensor([[tokenizer.end_of_text, *tokenizer.encode(text)]], device=device)


def token_rows(prompt: Tensor | Sequence[int], device: torch.device) -> Tensor:
    """[B, T] int64 with T at least 1, from rows, one row [T], or a list of ids (put on `device`)."""
    tokens = prompt if isinstance(prompt, Tensor) else _from_list(prompt, device)
    if tokens.dtype != torch.int64:
        tokens = _whole_numbers(tokens)
    if tokens.dim() == 1:
        tokens = tokens[None]
    if tokens.dim() != 2:
        raise UserError(f"tokens must be rows [B, T] or one row [T], got the shape {list(tokens.shape)}")
    require(tokens.shape[1] > 0, f"the rows of tokens are empty, {list(tokens.shape)}; a model needs a token or more")
    return tokens


def check_ids(tokens: Tensor, config: GPTConfig) -> None:
    """Raise `UserError` for ids outside the vocabulary. With tokens on a GPU this synchronises with it."""
    lowest, highest = (int(bound) for bound in tokens.aminmax())
    if lowest < 0 or highest >= config.vocab_size:
        wrong = lowest if lowest < 0 else highest
        raise UserError(f"token {wrong} is outside the model's vocabulary, whose ids are 0 to {config.vocab_size - 1}")


def look_up(table: Callable[[Tensor], Tensor], tokens: Tensor, config: GPTConfig) -> Tensor:
    """table(tokens), with a `UserError` for an id outside the vocabulary.

    On the CPU the lookup itself raises for a wrong id. On a GPU it does not name the id, and the process cannot use the
    GPU afterwards. So on a GPU ids are checked first. The exceptions are passes with gradients, because a training step
    must not wait for the GPU, and passes that are captured as a CUDA graph.
    """
    if tokens.is_cuda and len(tokens) and not torch.is_grad_enabled() and not torch.cuda.is_current_stream_capturing():
        check_ids(tokens, config)
    try:
        return table(tokens)
    except IndexError:
        check_ids(tokens, config)
        raise


@torch.no_grad()
def continued(
    logits: Callable[[Tensor], Tensor],
    rows: Tensor,
    count: int,
    *,
    context: int,
    temperature: float,
    seed: int,
    end: int | None,
) -> Tensor:
    """Rows [B, T] followed by at most `count` sampled tokens, [B, T + N].

    logits: maps rows [B, T'] of at most `context` tokens to logits [B, T', V]; it sees only the last tokens. A row that
    has produced the token `end` is padded with it. Sampling stops when all rows have produced it, so N can be less than
    `count`.
    """
    require(count >= 0, f"tokens must be 0 or more, got {count}")
    require(0 <= temperature < math.inf, f"temperature must be 0 (the likeliest token) or more, got {temperature}")
    generator = torch.Generator().manual_seed(seed)
    done = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for _ in range(count):
        scores = logits(rows[:, -context:])[:, -1].float()  # [B, V]
        if temperature == 0:
            drawn = scores.argmax(dim=1)
        else:
            shares = (scores / temperature).softmax(dim=1).cpu()  # sampled on the CPU: the same on every device
            drawn = torch.multinomial(shares, 1, generator=generator)[:, 0].to(rows.device)
        if end is not None:
            drawn = drawn.masked_fill(done, end)
            done |= drawn == end
        rows = torch.cat([rows, drawn[:, None]], dim=1)
        if bool(done.all()):
            break
    return rows


def _from_list(prompt: Sequence[int], device: torch.device) -> Tensor:
    wanted = "a text, a list of token ids, or a tensor of them"
    try:
        tokens = torch.as_tensor(prompt, device=device)
    except (ValueError, TypeError, RuntimeError):
        raise UserTypeError(f"a model reads {wanted}, not {type(prompt).__name__} {str(prompt)[:60]}") from None
    return tokens if tokens.numel() else tokens.long()  # torch turns an empty list into floats


def _whole_numbers(tokens: Tensor) -> Tensor:
    if tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        kind = str(tokens.dtype).removeprefix("torch.")
        raise UserTypeError(f"token ids must be whole numbers such as int64, got {kind}")
    return tokens.long()
