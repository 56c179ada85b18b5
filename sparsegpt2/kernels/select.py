"""Select the k largest weights of a tensor by finding a threshold instead of sorting.

The bit patterns of float32 numbers, without the sign, are integers with the same order as the magnitudes. So a
histogram over the upper 16 bits of these integers, and one over the lower 16, give the k-th largest exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from sparsegpt2.kernels.dispatch import at_once, cpu_kernels, gpu_kernels, trial

HIGHEST = 0x7FFFFFFF


def keep_largest_(weight: Tensor, k: int, min_alive: int = 0, neuron_dim: int = 0) -> None:
    """Zero, in place, all but the k largest magnitudes of `weight` (float32); of equal ones the lowest index is kept.

    min_alive: how many of the largest entries of each slice of a matrix along `neuron_dim` are reserved first. They
    count towards k, and the caller has checked that they fit.
    """
    kernels = cpu_kernels(weight, "select")
    if kernels is None or not weight.is_contiguous():
        weight *= largest_mask(weight, k, min_alive, neuron_dim)
        return
    if k == 0:
        weight.zero_()
        return
    rows, columns = weight.shape if weight.ndim == 2 else (1, weight.numel())
    bits = weight.detach().view(torch.uint32).view(-1).numpy()
    kernels.select.keep_largest(bits, rows, columns, k, min_alive, neuron_dim == 1)


def keep_largest_all_(
    weights: Sequence[Tensor], keep: Sequence[int], reserve: Sequence[tuple[int, int] | None]
) -> None:
    """`keep_largest_` for many tensors: on a GPU in a few launches for all of them, on the CPU in parallel.

    keep[i]: how many entries of weights[i] are kept. reserve[i]: its (min_alive, neuron_dim), or None.
    """
    gpu = gpu_kernels(weights[0]) if weights else None
    if gpu is None or not all(weight.is_contiguous() for weight in weights):
        jobs = sorted(zip(weights, keep, reserve, strict=True), key=lambda job: -job[0].numel())  # large ones first
        calls = [partial(keep_largest_, weight, k, *(alive or (0, 0))) for weight, k, alive in jobs]
        if weights and cpu_kernels(weights[0], "select") is not None:
            at_once(calls)
        else:  # plain torch uses threads itself, and other threads would not use the current CUDA stream
            for call in calls:
                call()
        return
    reserved: list[Tensor | None] = []
    for weight, alive in zip(weights, reserve, strict=True):
        if alive is None:
            reserved.append(None)
        elif alive[1] == 0:
            reserved.append(gpu.select_rows(weight, alive[0])[1])
        else:
            reserved.append(gpu.select_rows(weight.T, alive[0])[1].T.contiguous())
    gpu.keep_largest_(weights, keep, reserved)


@trial("select")
def _try_loops() -> None:
    keep_largest_(torch.ones(4, 4, device="cpu"), 5, 1)


def largest_mask(weight: Tensor, k: int, min_alive: int = 0, neuron_dim: int = 0) -> Tensor:
    """Which entries `keep_largest_` keeps: bool, of `weight`'s shape. Plain torch, without a host sync on a GPU."""
    keys = weight.detach().contiguous().view(torch.int32) & HIGHEST
    if min_alive:
        keys = _reserve(keys, min_alive, 1 - neuron_dim)
    flat = keys.flatten()
    count = torch.full((), k, dtype=torch.int64, device=weight.device)
    upper, count = _bin_of(flat >> 16, torch.ones_like(flat), count)
    lower, count = _bin_of(flat & 0xFFFF, ((flat >> 16) == upper).int(), count)
    threshold = (upper << 16) | lower
    tied = flat == threshold
    kept = (flat > threshold) | (tied & (tied.cumsum(0) <= count))
    return kept.view(weight.shape) if k else torch.zeros_like(weight, dtype=torch.bool)


def _bin_of(bins: Tensor, weights: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """(bin with the k-th largest of `bins`, how many entries to keep from it). weights: 1 for entries that count."""
    counts = torch.zeros(1 << 16, dtype=torch.int64, device=bins.device)
    counts.scatter_add_(0, bins.long(), weights.long())
    at_least = counts.flip(0).cumsum(0).flip(0)  # how many are in this bin or higher
    chosen = (at_least >= k).sum() - 1
    above = at_least[chosen] - counts[chosen]
    return chosen.to(torch.int32), k - above


def _reserve(keys: Tensor, min_alive: int, along: int) -> Tensor:
    """Replace the `min_alive` largest keys of each slice by the highest key; of equal keys argmax takes the first."""
    keys = keys.clone()
    remaining = keys.clone()
    for _ in range(min_alive):
        first = remaining.argmax(dim=along, keepdim=True)
        keys.scatter_(along, first, HIGHEST)
        remaining.scatter_(along, first, -1)
    return keys
