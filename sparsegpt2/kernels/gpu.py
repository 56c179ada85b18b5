"""Triton kernels for CUDA: AbsTopK of rows, and the projection of all tensors together without waiting for the GPU.

Import this module through `gpu_kernels()`. Triton comes with torch for CUDA, and can be missing elsewhere. If
TRITON_INTERPRET=1 is set before the import, the same code runs on CPU tensors, slowly, so it can be tested without a
GPU. A program is Triton's unit of parallel work.

Shapes: C channels of a row, n tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

CHUNK = 4096
"""Number of entries of a tensor that one program handles."""
BINS = 1 << 16
"""Number of bins in each of two histograms of magnitudes: the first is over their upper bits, the second over their
lower 16 bits."""


@triton.jit
def _abs_topk_rows(x, out, kept, width, k, BITS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """AbsTopK of rows of `width` floats, whose bits are given as integers. Each program handles one row.

    Bisection finds the k-th largest magnitude, and k entries are kept. Of equal magnitudes the lowest index is kept.
    """
    row = tl.program_id(0).to(tl.int64)
    places = tl.arange(0, BLOCK)
    inside = places < width
    bits = tl.load(x + row * width + places, mask=inside, other=0)
    magnitude = tl.where(inside, bits.to(tl.int32) & ((1 << BITS) - 1), -1)
    low = tl.max(magnitude) * 0
    high = tl.max(magnitude)
    for _ in range(BITS):
        middle = low + (high - low + 1) // 2
        enough = tl.sum((magnitude >= middle).to(tl.int32)) >= k
        low = tl.where(enough, middle, low)
        high = tl.where(enough, high, tl.maximum(middle - 1, low))
    above = magnitude > low
    tied = magnitude == low
    ties = k - tl.sum(above.to(tl.int32))
    keep = above | (tied & (tl.cumsum(tied.to(tl.int32)) <= ties))
    tl.store(kept + row * width + places, keep.to(tl.int8), mask=inside)
    tl.store(out + row * width + places, tl.where(keep, bits, 0), mask=inside)


@triton.jit
def _mask_entries(gradient, kept, out, size, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Copy the entries of `gradient` that are kept, and write 0 for the others."""
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = places < size
    keep = tl.load(kept + places, mask=inside, other=0) != 0
    value = tl.load(gradient + places, mask=inside & keep, other=0)
    tl.store(out + places, value, mask=inside)


@triton.jit
def _read(weights, reserves, sizes, tensor, first, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Returns (addresses of a chunk's entries, their keys, which of the entries are inside the tensor).

    The key of an entry is its magnitude's bits or, if the entry is reserved (must be kept, see `keep_largest_`), the
    highest possible key.
    """
    places = first + tl.arange(0, BLOCK)
    inside = places < tl.load(sizes + tensor)
    address = tl.load(weights + tensor).to(tl.pointer_type(tl.int32)) + places
    keys = tl.load(address, mask=inside, other=0) & 0x7FFFFFFF
    reserve = tl.load(reserves + tensor)
    present = inside & (places * 0 + reserve != 0)
    held = tl.load(reserve.to(tl.pointer_type(tl.int8)) + places, mask=present, other=0)
    return address, tl.where(held != 0, 0x7FFFFFFF, keys), inside


@triton.jit
def _histogram(weights, reserves, sizes, tensors, firsts, upper, counts, LOWER: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Count how many of a chunk's keys fall into each bin. The bin of a key is its upper bits (the key without its
    lower 16 bits).

    LOWER: use the lower 16 bits as the bin instead, and count only those keys whose upper bits equal the tensor's entry
    in `upper`, the upper bits of its threshold.
    """
    tensor = tl.load(tensors + tl.program_id(0))
    _, keys, inside = _read(weights, reserves, sizes, tensor, tl.load(firsts + tl.program_id(0)), BLOCK)
    bins = keys >> 16
    if LOWER:
        inside = inside & (bins == tl.load(upper + tensor))
        bins = keys & 0xFFFF
    tl.atomic_add(counts + tensor * 65536 + bins, 1, mask=inside)


@triton.jit
def _count_ties(weights, reserves, sizes, tensors, firsts, threshold, ties, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Count the keys of a chunk that equal the threshold of its tensor; such keys are called ties."""
    tensor = tl.load(tensors + tl.program_id(0))
    _, keys, inside = _read(weights, reserves, sizes, tensor, tl.load(firsts + tl.program_id(0)), BLOCK)
    tied = inside & (keys == tl.load(threshold + tensor))
    tl.store(ties + tl.program_id(0), tl.sum(tied.to(tl.int32)))


@triton.jit
def _zero(weights, reserves, sizes, tensors, firsts, threshold, wanted, before, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Set to zero the entries of a chunk whose keys are below the threshold, and the ties that are not kept.

    wanted: for each tensor, the number of ties to keep, which are the first ones. before: for each chunk, the number of
    ties in earlier chunks of the same tensor.
    """
    chunk = tl.program_id(0)
    tensor = tl.load(tensors + chunk)
    address, keys, inside = _read(weights, reserves, sizes, tensor, tl.load(firsts + chunk), BLOCK)
    limit = tl.load(threshold + tensor)
    tied = inside & (keys == limit)
    rank = tl.load(before + chunk) + tl.cumsum(tied.to(tl.int32))
    keep = (keys > limit) | (tied & (rank <= tl.load(wanted + tensor)))
    tl.store(address, tl.zeros([BLOCK], tl.int32), mask=inside & ~keep)


def select_rows(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """AbsTopK of x [..., C] along the last axis. Returns (x with only the kept entries, int8 mask of those)."""
    x = x.detach().contiguous()
    out, kept = torch.empty_like(x), torch.empty(x.shape, dtype=torch.int8, device=x.device)
    width, bits = x.shape[-1], 8 * x.element_size() - 1
    integer = torch.int16 if bits == 15 else torch.int32
    block = triton.next_power_of_2(width)
    if x.numel():
        _abs_topk_rows[(x.numel() // width,)](
            x.view(integer), out.view(integer), kept, width, k, BITS=bits, BLOCK=block, num_warps=warps(block)
        )
    return out, kept


def mask_entries(gradient: Tensor, kept: Tensor) -> Tensor:
    """`gradient` where `kept` (int8, of the same shape) is not zero, and zeros elsewhere."""
    gradient = gradient.contiguous()
    out = torch.empty_like(gradient)
    _mask_entries[(triton.cdiv(gradient.numel(), 1024),)](gradient, kept, out, gradient.numel(), BLOCK=1024)
    return out


def warps(block: int) -> int:
    """Number of warps for a row of `block` entries: one for each 256 entries, from 1 to 8."""
    return max(1, min(8, block // 256))


@dataclass(frozen=True)
class _Chunks:
    """The tensors of a projection, divided into chunks. All fields are tensors on the device."""

    weights: Tensor
    """[n] int64: address of each tensor."""
    sizes: Tensor
    """[n] int64: number of entries of each tensor."""
    tensors: Tensor
    """[chunks] int64: the tensor that each chunk belongs to."""
    firsts: Tensor
    """[chunks] int64: the first entry of each chunk."""
    starts: Tensor
    """[n] int64: the first chunk of each tensor."""


_known: dict[tuple[tuple[int, int], ...], _Chunks] = {}


def _chunks(weights: Sequence[Tensor]) -> _Chunks:
    """Divide contiguous float32 tensors into chunks.

    The result is remembered by the tensors' addresses and sizes, because training projects the same tensors at every
    step.
    """
    key = tuple((weight.data_ptr(), weight.numel()) for weight in weights)
    if key not in _known:
        counts = [triton.cdiv(size, CHUNK) for _, size in key]
        columns = (
            [address for address, _ in key],
            [size for _, size in key],
            [n for n, count in enumerate(counts) for _ in range(count)],
            [chunk * CHUNK for count in counts for chunk in range(count)],
            [sum(counts[:n]) for n in range(len(counts))],
        )
        _known.clear()
        _known[key] = _Chunks(*(torch.tensor(column, device=weights[0].device) for column in columns))
    return _known[key]


def keep_largest_(weights: Sequence[Tensor], keep: Sequence[int], reserved: Sequence[Tensor | None]) -> None:
    """Set to zero, in place, all but the keep[i] largest magnitudes of each contiguous float32 tensor weights[i].

    Of equal magnitudes the lowest index is kept. reserved[i]: None, or an int8 mask of the shape of weights[i]. Its
    nonzero entries are kept first and count towards keep[i]. All tensors together take four kernel launches and a dozen
    small torch operations, and the host does not wait for the GPU.
    """
    device, cut, count = weights[0].device, _chunks(weights), len(weights)
    addresses = torch.tensor([0 if mask is None else mask.data_ptr() for mask in reserved], dtype=torch.int64)
    wanted = torch.tensor(list(keep), dtype=torch.int64)
    if device.type == "cuda":
        addresses, wanted = addresses.pin_memory(), wanted.pin_memory()
    addresses, wanted = addresses.to(device, non_blocking=True), wanted.to(device, non_blocking=True)
    grid = (len(cut.tensors),)
    arguments = (cut.weights, addresses, cut.sizes, cut.tensors, cut.firsts)
    counts = torch.zeros(count, BINS, dtype=torch.int32, device=device)
    _histogram[grid](*arguments, wanted, counts, LOWER=False, BLOCK=CHUNK)
    upper, wanted = _bins(counts, wanted)
    counts.zero_()
    _histogram[grid](*arguments, upper, counts, LOWER=True, BLOCK=CHUNK)
    lower, wanted = _bins(counts, wanted)
    threshold = ((upper << 16) | lower).to(torch.int32)
    ties = torch.empty(len(cut.tensors), dtype=torch.int64, device=device)
    _count_ties[grid](*arguments, threshold, ties, BLOCK=CHUNK)
    before = ties.cumsum(0) - ties
    before -= before[cut.starts][cut.tensors]
    _zero[grid](*arguments, threshold, wanted, before, BLOCK=CHUNK)


def _bins(counts: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """For each tensor: (the bin that contains its k-th largest key, how many keys of that bin to keep).

    counts: [n, BINS], the number of keys in each bin. wanted: [n], the k of each tensor.
    """
    at_least = counts.flip(1).cumsum(1, dtype=torch.int64).flip(1)  # number of keys in this bin or a higher one
    chosen = (at_least >= wanted[:, None]).sum(1, keepdim=True) - 1
    above = at_least.gather(1, chosen) - counts.gather(1, chosen)
    return chosen.squeeze(1), wanted - above.squeeze(1)
