"""Attention patterns of a circuit's heads on prompt pairs, including the sink, in the whole model and in the circuit.

Shapes: B rows (two per pair), T tokens, d_head channels of a head.
"""

from __future__ import annotations

import base64
import math

import torch
from torch import Tensor

from sparsegpt2.circuits import Ablated, Circuit
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Record
from sparsegpt2.viewer.graph import Shown
from sparsegpt2.viewer.schema import Patterns

MOST_PAIRS = 3
"""Largest number of pairs whose patterns are shown. It is smaller if the patterns would take too many bytes."""

Heads = list[tuple[int, int]]
"""Heads, each as (layer, head)."""


def head_of(model: GPT, site: str, channel: int) -> int | None:
    """The head of a q, k or v channel; None at other sites."""
    return channel // model.config.d_head if site.endswith((".q", ".k", ".v")) else None


@torch.no_grad()
def attention_patterns(model: GPT, circuit: Circuit, batch: TaskBatch, shown: Shown, *, limit: int) -> Patterns:
    """Patterns of every head that has a shown q, k or v node, on the first pairs of `batch`.

    limit: largest number of bytes, before base64 encoding. To stay below it, pairs are left out until one remains. If
    that is not enough, the heads with the fewest shown channels are left out.
    """
    heads = _heads_by_channels(model, shown)
    lengths = (batch.position + 1).tolist()
    sizes = [_pattern_bytes(model, lengths[2 * pair : 2 * pair + 2]) for pair in range(len(lengths) // 2)]
    pairs = 1
    while pairs < min(MOST_PAIRS, len(sizes)) and len(heads) * sum(sizes[: pairs + 1]) <= limit:
        pairs += 1
    chosen = heads[: limit // sum(sizes[:pairs])]
    alone, whole = (_patterns(model, batch.take(slice(2 * pairs)), chosen, one) for one in (circuit, None))
    return {
        "pairs": pairs,
        "heads": {
            f"{layer}.{head}": [
                {"full": _packed(model, whole[layer, head][row], length), "circuit": _packed(model, one, length)}
                for row, (one, length) in enumerate(zip(alone[layer, head], lengths, strict=False))
            ]
            for layer, head in sorted(chosen)
        },
        "left_out": [f"{layer}.{head}" for layer, head in sorted(heads[len(chosen) :])],
    }


def _heads_by_channels(model: GPT, shown: Shown) -> Heads:
    """The heads that have a shown q, k or v channel, those with most such channels first."""
    counts: dict[tuple[int, int], int] = {}
    for site, channel in shown.nodes:
        head = head_of(model, site, channel)
        if head is not None:
            key = (int(site.split(".")[0]), head)
            counts[key] = counts.get(key, 0) + 1
    return sorted(counts, key=lambda key: (-counts[key], key))


def _pattern_bytes(model: GPT, lengths: list[int]) -> int:
    """Number of bytes of one head's patterns for rows of these lengths, in the whole model and the circuit together."""
    return sum(2 * sum(_keys(model, query, length) + 1 for query in range(length)) for length in lengths)


def _keys(model: GPT, query: int, length: int) -> int:
    """Number of keys that a query can attend to."""
    return query + 1 if model.config.causal else length


def _patterns(model: GPT, batch: TaskBatch, heads: Heads, circuit: Circuit | None) -> dict[tuple[int, int], Tensor]:
    """(layer, head) -> pattern [B, T, T + 1].

    For each query, a pattern has the attention weights of the T keys and then that of the sink. In a model without
    sinks, the sink's weight is 0. circuit: None for the whole model.
    """
    layers = {layer for layer, _ in heads}
    record = Record(f"{layer}.attn.{part}" for layer in layers for part in "qk")
    Ablated(model, circuit, through=record).logits(batch, rows=None)
    found = {}
    for layer, head in heads:
        attention = model.layers[layer].attn
        q = attention.heads(record.values[f"{layer}.attn.q"])[:, head]  # [B, T, d_head]
        k = attention.heads(record.values[f"{layer}.attn.k"])[:, head]
        scores = q @ k.transpose(1, 2) / math.sqrt(attention.d_head)  # [B, T, T]
        if attention.causal:
            future = torch.ones_like(scores[0], dtype=torch.bool).triu(diagonal=1)
            scores = scores.masked_fill(future, -math.inf)
        sink = -math.inf if attention.sink is None else float(attention.sink[head])
        column = torch.full_like(scores[..., :1], sink)
        found[layer, head] = torch.cat([scores, column], dim=-1).softmax(dim=-1).cpu()
    return found


def _packed(model: GPT, pattern: Tensor, length: int) -> str:
    """A pattern [T, T + 1] for a prompt of `length` tokens, as base64.

    Query by query, it has a byte for each key that the query can attend to, and then a byte for the sink. A byte is an
    attention weight times 255.
    """
    shares = (pattern * 255).round().to(torch.uint8)
    parts = [torch.cat([shares[query, : _keys(model, query, length)], shares[query, -1:]]) for query in range(length)]
    return base64.b64encode(torch.cat(parts).numpy().tobytes()).decode("ascii")
