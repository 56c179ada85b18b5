"""Where the heads of a circuit attend from the last token of the task's prompts, in the whole model.

Shapes: B rows (two per pair), T positions, d_head channels of a head.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.losses import answer_logits
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.layers import at_position
from sparsegpt2.model.sites import Record
from sparsegpt2.viewer.schema import NodeData

TOKENS = 5
"""Number of tokens listed for a head."""


@dataclass(frozen=True)
class Look:
    """One head's attention from the last token, averaged over prompts."""

    layer: int
    head: int
    parting: float
    """Share of attention to tokens at which the two prompts of the pair differ."""
    sink: float
    """Share of attention to the sink, and so to no token."""
    tokens: list[tuple[int, float]]
    """(id, share of attention) of the tokens that get the most attention, summed over their positions."""


def heads_of(nodes: Sequence[NodeData]) -> list[tuple[int, int]]:
    """(layer, head) of every head that owns one of `nodes`."""
    return sorted({(int(node["site"].split(".")[0]), node["head"]) for node in nodes if node["head"] is not None})


@torch.no_grad()
def looks(model: GPT, batch: TaskBatch, heads: Sequence[tuple[int, int]]) -> list[Look]:
    """The attention of each (layer, head) of `heads` on the prompts of `batch`, in the same order."""
    record = Record(f"{layer}.attn.{part}" for layer in {layer for layer, _ in heads} for part in "qk")
    with frozen(model, torch.float32):
        answer_logits(model, batch, record)
    tokens = batch.tokens[:, : int(batch.position.max()) + 1]
    seen = torch.arange(tokens.shape[1], device=tokens.device) <= batch.position[:, None]  # [B, T]
    part = (tokens[::2] != tokens[1::2]).repeat_interleave(2, dim=0) & seen  # [B, T]
    found = []
    for layer, head in heads:
        attention = model.layers[layer].attn
        q = at_position(attention.heads(record.values[f"{layer}.attn.q"])[:, head], batch.position)  # [B, d_head]
        k = attention.heads(record.values[f"{layer}.attn.k"])[:, head]  # [B, T, d_head]
        scores = (k @ q[..., None]).squeeze(-1) / math.sqrt(attention.d_head)  # [B, T]
        sink = -math.inf if attention.sink is None else float(attention.sink[head])
        scores = torch.cat([scores.masked_fill(~seen, -math.inf), torch.full_like(scores[:, :1], sink)], dim=1)
        shares = scores.softmax(dim=1)  # [B, T + 1]
        totals: dict[int, float] = defaultdict(float)
        for token, share in zip(tokens[seen].tolist(), shares[:, :-1][seen].tolist(), strict=True):
            totals[token] += share / len(tokens)
        best = sorted(totals.items(), key=lambda entry: -entry[1])[:TOKENS]
        parting = float((shares[:, :-1] * part).sum(dim=1).mean())
        found.append(Look(layer, head, parting, float(shares[:, -1].mean()), best))
    return found
