"""Projection: after each step keep the k largest weights of every tensor and zero the others (paper, section 2.2).

k = floor(density * numel) exactly; of equal magnitudes the lowest index is kept. For each neuron and attention channel,
the `min_alive` largest weights are reserved (kept before all others) in its row of c_attn or c_fc (what it reads) and
in its column of c_proj (what it writes). Reserved weights count towards k. Norm weights, sink logits and the bigram
table are never projected.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.config import SparsityConfig, require
from sparsegpt2.kernels.select import check_dtype, keep_largest_, keep_largest_all_
from sparsegpt2.model.gpt import GPT
from sparsegpt2.sparsity.schedule import annealed


@torch.no_grad()
def project_(weight: Tensor, density: float, *, min_alive: int = 0, neuron_dim: int | None = None) -> Tensor:
    """Zero, in place, all but the k = floor(density * numel) entries of largest magnitude; return `weight`.

    weight: float32, float64, bfloat16 or float16, any shape (a matrix if `min_alive` is given). min_alive: how many of
    the largest entries of each neuron are reserved; they count towards k. A neuron is a row of the matrix if
    `neuron_dim` is 0, a column if it is 1. If it is None, nothing is reserved. Of equal magnitudes the lowest index is
    kept, also among reserved entries, and NaN counts as larger than every number. `UserError` for another dtype, for a
    density outside (0, 1], and if more than k entries are reserved, or more in a neuron than it has.
    """
    check_dtype(weight)
    require(min_alive >= 0, f"min_alive must be 0 or more, got {min_alive}")
    require(0 < density <= 1, f"density must be above 0 and at most 1, got {density}")
    keep = math.floor(density * weight.numel())
    if min_alive and neuron_dim is not None:
        check_reserve(tuple(weight.shape), keep, min_alive, neuron_dim)
    else:
        min_alive = 0
    if keep < weight.numel():
        keep_largest_(weight, keep, min_alive, neuron_dim or 0)
    return weight


def check_reserve(shape: tuple[int, ...], keep: int, min_alive: int, neuron_dim: int, name: str = "a matrix") -> None:
    """Raise `UserError` unless `min_alive` weights per neuron fit in the `keep` weights of a matrix of this shape."""
    require(
        len(shape) == 2 and neuron_dim in (0, 1),
        f"min_alive needs a matrix and neuron_dim 0 (rows) or 1 (columns), got shape {list(shape)}, {neuron_dim}",
    )
    neurons, length = shape[neuron_dim], shape[1 - neuron_dim]
    require(min_alive <= length, f"min_alive={min_alive} exceeds the {length} weights of each neuron of {name}")
    require(
        min_alive * neurons <= keep,
        f"min_alive={min_alive} reserves {min_alive * neurons} weights in the {neurons} neurons of {name}, but its "
        f"density leaves only {keep}; lower min_alive or raise density to at least "
        f"{min_alive * neurons / max(1, shape[0] * shape[1]):.4g}",
    )


@dataclass(frozen=True)
class Projected:
    """A parameter that is sparsified, and how its density is set."""

    name: str
    weight: Tensor
    kind: str
    """`embedding`, `bias` or `matrix`; selects the target density (`SparsityConfig.density_of`)."""
    neuron_dim: int | None
    """0 if rows are neurons, 1 if columns are, None if `min_alive` does not apply."""


def projected_parameters(model: GPT) -> Iterator[Projected]:
    """Every parameter that is sparsified, in the model's order."""
    for name, weight in model.named_parameters():
        leaf = ".".join(name.split(".")[-2:])
        if leaf in ("wte.weight", "wpe.weight", "unembed.weight"):
            yield Projected(name, weight, "embedding", None)
        elif leaf in ("c_attn.weight", "c_fc.weight"):
            yield Projected(name, weight, "matrix", 0)
        elif leaf == "c_proj.weight":
            yield Projected(name, weight, "matrix", 1)
        elif leaf in ("c_attn.bias", "c_fc.bias", "c_proj.bias"):
            yield Projected(name, weight, "bias", None)


def check_feasible(model: GPT, config: SparsityConfig) -> None:
    """Raise `UserError`, naming the tensor, if the final density cannot be met. Called before training."""
    for tensor in projected_parameters(model):
        keep = math.floor(config.density_of(tensor.kind) * tensor.weight.numel())
        require(
            keep >= 1,
            f"density {config.density_of(tensor.kind)} leaves no weight of {tensor.name}, which has "
            f"{tensor.weight.numel()} entries",
        )
        if tensor.neuron_dim is not None and config.min_alive:
            check_reserve(tuple(tensor.weight.shape), keep, config.min_alive, tensor.neuron_dim, tensor.name)


def project_model_(model: GPT, config: SparsityConfig, share: float = 1.0) -> None:
    """Project every sparsified parameter to its density after `share` of training (1: the target)."""
    weights: list[Tensor] = []
    keep: list[int] = []
    reserve: list[tuple[int, int] | None] = []
    for tensor in projected_parameters(model):
        density = annealed(config.density_of(tensor.kind), share, config)
        if density == 1:
            continue
        weights.append(tensor.weight.detach())
        keep.append(math.floor(density * tensor.weight.numel()))
        alive = config.min_alive if tensor.neuron_dim is not None else 0
        reserve.append((alive, tensor.neuron_dim or 0) if alive else None)
        if alive:
            check_reserve(tuple(tensor.weight.shape), keep[-1], alive, tensor.neuron_dim or 0, tensor.name)
    keep_largest_all_(weights, keep, reserve)
