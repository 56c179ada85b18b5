"""Causal attention with a sink: one extra logit per head in the softmax denominator.

Shapes: B rows, H heads, T positions, d head channels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sink_attention(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *, causal: bool) -> Tensor:
    """q, k, v [B, H, T, d], sink logits [H] or None -> [B, H, T, d]."""
    if sink is None:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return sink_attention_reference(q, k, v, sink, causal=causal)


def attention_pattern(q: Tensor, k: Tensor, sink: Tensor | None, *, causal: bool) -> Tensor:
    """Attention weights [B, H, T, T] float32; with a sink the rows sum to less than 1."""
    scores = (q.float() @ k.float().transpose(-1, -2)) / math.sqrt(q.shape[-1])  # [B, H, T, T]
    if causal:
        length = q.shape[-2]
        future = torch.ones(length, length, dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(future, -math.inf)
    if sink is None:
        return scores.softmax(dim=-1)
    column = sink.float()[None, :, None, None].expand(*scores.shape[:-1], 1)
    return torch.cat([scores, column], dim=-1).softmax(dim=-1)[..., :-1]


def sink_attention_reference(q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *, causal: bool) -> Tensor:
    """The definition, with the whole [T, T] pattern in memory."""
    return (attention_pattern(q, k, sink, causal=causal) @ v.float()).to(v.dtype)
