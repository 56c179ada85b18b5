"""What is reported with every checkpoint: L0, densities, dead neurons, kurtosis of the residual stream."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Record
from sparsegpt2.sparsity.project import projected_parameters


def l0_by_tensor(model: GPT) -> dict[str, int]:
    """Nonzero entries of every sparsified parameter: weight matrices, both embeddings, bias vectors.

    Norm weights, sink logits and the bigram table, which stay dense, are not counted.
    """
    return {tensor.name: int(torch.count_nonzero(tensor.weight)) for tensor in projected_parameters(model)}


def l0(model: GPT) -> int:
    """Nonzero entries in all (paper: L0), as `l0_by_tensor` counts them."""
    return sum(l0_by_tensor(model).values())


def density_by_tensor(model: GPT) -> dict[str, float]:
    """Share of nonzero entries of every sparsified parameter."""
    sizes = {tensor.name: tensor.weight.numel() for tensor in projected_parameters(model)}
    return {name: count / sizes[name] for name, count in l0_by_tensor(model).items()}


@torch.no_grad()
def dead_neurons(model: GPT) -> dict[str, int]:
    """Neurons and attention channels that cannot carry anything: no nonzero in-weight, or no nonzero out-weight.

    MLP neuron: its row of c_fc and column of c_proj. v channel: its row of c_attn and column of c_proj. q channel:
    its own row of c_attn and the row of the k channel it is multiplied with (and so for k; a pair counts once).
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
    """Kurtosis of the final residual stream: E[(x - mean)^4] / E[(x - mean)^2]^2 over the channels of each token,
    averaged over tokens (paper, figure 10; 3 for a Gaussian, larger for a stream with privileged channels).

    batches: tokens [B, T] int64 each.
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
