"""Select the k largest weights of a tensor by finding a threshold instead of sorting.

The bit patterns of floating-point numbers, without the sign, are integers with the same order as the magnitudes. So one
histogram for each 16 bits of these integers, from the upper ones down, gives the k-th largest exactly. NaN counts as
larger than every number, as in `torch.sort`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from sparsegpt2.errors import UserTypeError
from sparsegpt2.kernels.dispatch import at_once, cpu_kernels, gpu_kernels, trial

INTEGERS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}
"""The dtypes of weights, and for each the integers of the same size."""


def keep_largest_(weight: Tensor, k: int, min_alive: int = 0, neuron_dim: int = 0) -> None:
    """Zero, in place, all but the k largest magnitudes of `weight`; of equal ones the lowest index is kept.

    weight: of a dtype in `INTEGERS`; float32 is the fast one. min_alive: how many of the largest entries of each neuron
    are reserved, which means that they are kept before all others. A neuron is a row of the matrix if `neuron_dim` is
    0, a column if it is 1. Reserved entries count towards k, and the caller has checked that there are not more than k.
    """
    kernels = cpu_kernels(weight, "select") if weight.dtype == torch.float32 else None
    if kernels is None or not weight.is_contiguous():
        weight.masked_fill_(~largest_mask(weight, k, min_alive, neuron_dim), 0)  # a product would turn inf * 0 into NaN
        return
    if k == 0:
        weight.zero_()
        return
    rows, columns = weight.shape if weight.ndim == 2 else (1, weight.numel())
    bits = weight.detach().view(torch.uint32).view(-1).numpy()
    kernels.select.keep_largest(bits, rows, columns, k, min_alive, neuron_dim == 1)


def check_dtype(weight: Tensor) -> None:
    """`UserTypeError` for a tensor that `keep_largest_` cannot select from: a sparse one, or one of another dtype."""
    if weight.dtype not in INTEGERS or weight.layout != torch.strided:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in INTEGERS)
        kind = str(weight.dtype).removeprefix("torch.")
        found = kind if weight.layout == torch.strided else f"sparse {kind}"
        raise UserTypeError(f"the weight is a {found} tensor; it must be a dense tensor of one of the types {names}")


def keep_largest_all_(
    weights: Sequence[Tensor], keep: Sequence[int], reserve: Sequence[tuple[int, int] | None]
) -> None:
    """`keep_largest_` for many tensors: on a GPU in a few launches for all of them, on the CPU in parallel.

    keep[i]: how many entries of weights[i] are kept. reserve[i]: its (min_alive, neuron_dim), or None.
    """
    gpu = gpu_kernels(weights[0]) if weights else None
    if gpu is None or not all(weight.is_contiguous() and weight.dtype == torch.float32 for weight in weights):
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
    if not k or not weight.numel():
        return torch.zeros_like(weight, dtype=torch.bool)
    keys = _keys(weight)
    if min_alive:
        keys = _reserve(keys, min_alive, 1 - neuron_dim)
    flat = keys.flatten()
    count = torch.full((), k, dtype=torch.int64, device=weight.device)
    threshold = torch.zeros((), dtype=torch.int64, device=weight.device)
    among = torch.ones_like(flat)  # 1 for entries whose upper bits are those of the threshold
    for shift in range(weight.element_size() * 8 - 16, -1, -16):
        bins = (flat >> shift) & 0xFFFF
        chosen, count = _bin_of(bins, among, count)
        threshold = (threshold << 16) | chosen
        among = among * (bins == chosen)
    tied = flat == threshold
    return ((flat > threshold) | (tied & (tied.cumsum(0) <= count))).view(weight.shape)


def _keys(weight: Tensor) -> Tensor:
    """The magnitudes' bits as int64, of `weight`'s shape; the same for every NaN, and one above infinity's."""
    integers = INTEGERS[weight.dtype]
    bits = weight.detach().contiguous().view(integers).long() & torch.iinfo(integers).max
    infinity = torch.full((), float("inf"), dtype=weight.dtype, device=weight.device).view(integers).long()
    return bits.minimum(infinity + 1)


def _bin_of(bins: Tensor, weights: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    """(bin with the k-th largest of `bins`, how many entries to keep from it). weights: 1 for entries that count."""
    counts = torch.zeros(1 << 16, dtype=torch.int64, device=bins.device)
    counts.scatter_add_(0, bins, weights)
    at_least = counts.flip(0).cumsum(0).flip(0)  # how many are in this bin or higher
    chosen = (at_least >= k).sum() - 1
    above = at_least[chosen] - counts[chosen]
    return chosen, k - above


def _reserve(keys: Tensor, min_alive: int, along: int) -> Tensor:
    """Replace the `min_alive` largest keys of each row (`along` 1) or column (`along` 0) by a key above all others.

    Of equal keys argmax takes the first.
    """
    reserved = keys.max() + 1
    keys = keys.clone()
    remaining = keys.clone()
    for _ in range(min_alive):
        first = remaining.argmax(dim=along, keepdim=True)
        keys.scatter_(along, first, reserved.expand_as(first))
        remaining.scatter_(along, first, -1)
    return keys
