"""Attention: do the circuit's heads look where the model's look?

For each head with a kept v channel: 1 - total variation distance between the circuit's and the whole model's attention
pattern, the sink counted as one more place, at the prompt's last position (which makes the answer) and over all
positions. Beside it the same for patterns whose q and k are all ablated to their means, which is what a head has for
nothing. Agreement of patterns does not say that what the heads move agrees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.gates import MeanAblation, frozen
from sparsegpt2.circuits.score import answer_logits
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_least, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.kernels.attention import attention_pattern
from sparsegpt2.model.sites import Chain, Record, Site
from sparsegpt2.progress import Progress

ROWS = 64
"""Rows at once: patterns are [B, H, T, T]."""


def run(case: Case, progress: Progress) -> Finding:
    """Similarity over kept heads at the last position decides."""
    heads = kept_heads(case)
    if not heads:
        return Finding(verdict="not run", says="the circuit keeps no v channel, so it has no attention")
    last, everywhere, constant = (torch.empty(len(case.batch), device=case.device) for _ in range(3))
    done = 0
    for rows, part in case.batch.by_length(ROWS):
        model = patterns(case, part, None, {})
        circuit = patterns(case, part, MeanAblation(case.nodes, case.means), case.edge_parameters())
        nothing = {
            f"{layer}.attn.{place}": case.nodes[f"{layer}.attn.{place}"] & False for layer in heads for place in "qk"
        }
        ablated = patterns(case, part, MeanAblation(nothing, case.means), {})
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
        says=f"the circuit's heads attend as the model's do to {numbers['similarity']} (the bar is {bar:g}); "
        f"with q and k ablated it would be {numbers['similarity without q and k']}",
        numbers=numbers,
        details={"bar": bar, "heads": {str(layer): kept for layer, kept in heads.items()}},
    )


def kept_heads(case: Case) -> dict[int, list[int]]:
    """Layer -> heads of which the circuit keeps a v channel."""
    config, found = case.model.config, {}
    for layer in range(config.n_layer):
        by_head = case.nodes[f"{layer}.attn.v"].unflatten(0, (config.n_head, config.d_head)).any(dim=1)
        if bool(by_head.any()):
            found[layer] = by_head.nonzero().flatten().tolist()
    return found


@torch.no_grad()
def patterns(case: Case, part: TaskBatch, site: Site | None, parameters: dict[str, Tensor]) -> dict[int, Tensor]:
    """Attention of every head by layer, [B, H, T, T + 1], the sink last (0 without one), on the rows of a batch."""
    names = [f"{layer}.attn.{place}" for layer in range(case.model.config.n_layer) for place in "qk"]
    record = Record(names)
    with frozen(case.model, torch.float32):
        answer_logits(case.model, part, record if site is None else Chain(site, record), parameters=parameters)
    found = {}
    for layer, block in enumerate(case.model.layers):
        q, k = (block.attn.heads(record.values[f"{layer}.attn.{place}"]) for place in "qk")
        pattern = attention_pattern(q, k, block.attn.sink, causal=block.attn.causal)
        found[layer] = F.pad(pattern, (0, 1))
        found[layer][..., -1] = (1 - pattern.sum(dim=-1)).clamp(min=0)
    return found


def similarity(one: Tensor, other: Tensor) -> Tensor:
    """1 - total variation distance of attention rows: [B, H, T, T + 1] twice -> [B, H, T]."""
    return 1 - (one - other).abs().sum(dim=-1) / 2


def _at_last(by_layer: dict[int, Tensor], position: Tensor) -> Tensor:
    """Mean over heads of all layers at each row's last position, [B]."""
    joined = torch.cat(list(by_layer.values()), dim=1)  # [B, H, T]
    return joined[torch.arange(len(joined), device=joined.device), :, position].mean(dim=1)


def _up_to_last(by_layer: dict[int, Tensor], position: Tensor) -> Tensor:
    """Mean over heads and the positions of each prompt, [B]."""
    joined = torch.cat(list(by_layer.values()), dim=1).mean(dim=1)  # [B, T]
    inside = torch.arange(joined.shape[1], device=joined.device) <= position[:, None]
    return (joined * inside).sum(dim=1) / inside.sum(dim=1)


CHECK = Check(asks="Do the circuit's heads look where the model's look?", run=run)
