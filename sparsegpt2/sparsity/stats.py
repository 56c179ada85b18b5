"""Statistics that are saved with every checkpoint: L0, densities, dead neurons, kurtosis of the residual stream."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Record
from sparsegpt2.sparsity.project import projected_parameters


def l0_by_tensor(model: GPT) -> dict[str, int]:
    """Nonzero entries of every sparsified parameter.

    These are the weight matrices of the layers, token embedding, unembedding, learned positions and bias vectors. Norm
    weights, sink logits and the bigram table, which stay dense, are not counted.
    """
    return {tensor.name: int(torch.count_nonzero(tensor.weight)) for tensor in projected_parameters(model)}


def l0(model: GPT) -> int:
    """Total number of nonzero entries that `l0_by_tensor` counts (paper: L0)."""
    return sum(l0_by_tensor(model).values())


def density_by_tensor(model: GPT) -> dict[str, float]:
    """Share of nonzero entries of every sparsified parameter."""
    sizes = {tensor.name: tensor.weight.numel() for tensor in projected_parameters(model)}
    return {name: count / sizes[name] for name, count in l0_by_tensor(model).items()}


@torch.no_grad()
def dead_neurons(model: GPT) -> dict[str, int]:
    """How many MLP neurons (`mlp`) and attention channels (`attn`) are dead: they have no input or no output weights.

    An MLP neuron is dead if its row of c_fc or its column of c_proj is all zero. A v channel is dead if its row of
    c_attn or its column of c_proj is all zero. A q channel and the k channel that it is multiplied with count as one.
    They are dead if the row of c_attn of either is all zero.
    """
    neurons = channels = 0
    for block in model.layers:
        alive = block.mlp.c_fc.weight.any(dim=1) & block.mlp.c_proj.weight.any(dim=0)
        neurons += int((~alive).sum())
        q, k, v = block.attn.c_attn.weight.any(dim=1).chunk(3)
        channels += int((~(q & k)).sum()) + int((~(v & block.attn.c_proj.weight.any(dim=0))).sum())
    return {"mlp": neurons, "attn": channels}


@torch.no_grad()
def residual_kurtosis(model: GPT, batches: Iterable[Tensor]) -> float:
    """Kurtosis of the final residual stream, averaged over all tokens (paper, figure 10).

    For a token with the channels x it is E[(x - mean)^4] / E[(x - mean)^2]^2; mean and E are over the channels. It is 3
    for a Gaussian, and larger if a few channels have far larger values than the others. batches: tokens [B, T] int64
    each.
    """
    last = f"{model.config.n_layer - 1}.mlp.resid_post"
    total, count = 0.0, 0
    for tokens in batches:
        record = Record([last])
        model(tokens, site=record, position=torch.zeros(len(tokens), dtype=torch.long, device=tokens.device))
        x = record.values[last].double()  # [B, T, D]
        x = x - x.mean(dim=-1, keepdim=True)
        total += float((x.pow(4).mean(-1) / x.pow(2).mean(-1).clamp(min=1e-30).square()).sum())
        count += x.shape[0] * x.shape[1]
    return total / count
