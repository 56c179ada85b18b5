"""Attention: do the circuit's heads attend where the model's heads attend?

For each head with a kept v channel, the similarity is 1 - total variation distance between the circuit's and the whole
model's attention pattern, where the sink counts as one more position. The similarity is measured at the prompt's last
position (which gives the answer) and over all positions. For comparison, the similarity is also shown for the pattern
that a head has with all its q and k channels set to their means. Equal patterns do not imply that the heads move the
same information.

Shapes: B rows (two per pair), H heads of a layer, T positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_least, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.kernels.attention import attention_pattern
from sparsegpt2.model.sites import Record
from sparsegpt2.progress import Progress

ROWS = 64
"""Number of rows in one forward pass. It is small because patterns, [B, H, T, T], take much memory."""


@torch.no_grad()
def run(case: Case, progress: Progress) -> Finding:
    """The similarity at the last position, averaged over kept heads and prompts, decides."""
    heads = kept_heads(case)
    if not heads:
        return Finding(verdict="not run", says="the circuit keeps no v channel, so it has no attention")
    last, everywhere, constant = (torch.empty(len(case.batch), device=case.device) for _ in range(3))
    nothing = {
        f"{layer}.attn.{place}": case.nodes[f"{layer}.attn.{place}"] & False for layer in heads for place in "qk"
    }
    done, records = 0, [Record(_queries_and_keys(case)) for _ in range(3)]
    variants = (
        Ablated(case.model, through=records[0]),
        case.ablated(through=records[1]),
        Ablated(case.model, nothing, ablation=case.mean, through=records[2]),
    )
    steps = zip(*(variant.each(case.batch, ROWS) for variant in variants), strict=True)
    for (rows, part, _), _, _ in steps:
        model, circuit, ablated = (patterns(case, record) for record in records)
        here = {layer: similarity(model[layer][:, kept], circuit[layer][:, kept]) for layer, kept in heads.items()}
        there = {layer: similarity(model[layer][:, kept], ablated[layer][:, kept]) for layer, kept in heads.items()}
        last[rows], constant[rows] = _at_last(here, part.position), _at_last(there, part.position)
        everywhere[rows] = _up_to_last(here, part.position)
        done += len(part)
        progress(done, len(case.batch), "attention")
    numbers = {
        "similarity": mean_over_pairs(last),
        "similarity, all positions": mean_over_pairs(everywhere),
        "similarity without q and k": mean_over_pairs(constant),
    }
    bar = case.config.attention
    return Finding(
        verdict=at_least(numbers["similarity"], bar),
        says=f"the similarity of the circuit's and the model's attention is {numbers['similarity']} (the bar is "
        f"{bar:g}); with q and k ablated it would be {numbers['similarity without q and k']}",
        numbers=numbers,
        details={"bar": bar, "heads": {str(layer): kept for layer, kept in heads.items()}},
    )


def kept_heads(case: Case) -> dict[int, list[int]]:
    """Layer -> numbers of the heads that have a v channel in the circuit. Layers without such heads are left out."""
    config, found = case.model.config, {}
    for layer in range(config.n_layer):
        by_head = case.nodes[f"{layer}.attn.v"].unflatten(0, (config.n_head, config.d_head)).any(dim=1)
        if bool(by_head.any()):
            found[layer] = by_head.nonzero().flatten().tolist()
    return found


def _queries_and_keys(case: Case) -> list[str]:
    return [f"{layer}.attn.{place}" for layer in range(case.model.config.n_layer) for place in "qk"]


def patterns(case: Case, record: Record) -> dict[int, Tensor]:
    """Layer -> attention patterns of its heads, [B, H, T, T + 1], computed from the recorded q and k.

    The last column is the attention to the sink; it is 0 in a model without sinks.
    """
    found = {}
    for layer, block in enumerate(case.model.layers):
        q, k = (block.attn.heads(record.values[f"{layer}.attn.{place}"]) for place in "qk")
        pattern = attention_pattern(q, k, block.attn.sink, causal=block.attn.causal)
        found[layer] = F.pad(pattern, (0, 1))
        found[layer][..., -1] = (1 - pattern.sum(dim=-1)).clamp(min=0)
    return found


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """1 - total variation distance between the rows of two attention patterns [B, H, T, T + 1]. Returns [B, H, T]."""
    return 1 - (one - other).abs().sum(dim=-1) / 2


def _at_last(by_layer: dict[int, Tensor], position: Tensor) -> Tensor:
    """Mean similarity over the heads of all layers at the last position of each prompt, [B]."""
    joined = torch.cat(list(by_layer.values()), dim=1)  # [B, H, T]
    return joined[torch.arange(len(joined), device=joined.device), :, position].mean(dim=1)


def _up_to_last(by_layer: dict[int, Tensor], position: Tensor) -> Tensor:
    """Mean similarity over the heads of all layers and all positions of each prompt, [B]."""
    joined = torch.cat(list(by_layer.values()), dim=1).mean(dim=1)  # [B, T]
    inside = torch.arange(joined.shape[1], device=joined.device) <= position[:, None]
    return (joined * inside).sum(dim=1) / inside.sum(dim=1)


CHECK = Check(asks="Do the circuit's heads attend where the model's heads attend?", run=run)
