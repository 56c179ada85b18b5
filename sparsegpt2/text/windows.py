"""Which windows of the shards a batch reads: pure arithmetic, so the batch of any step can be computed directly.

A window is (shard, start): the T + 1 tokens of that shard that begin at `start`, where T is `context`. A sample is one
row of a batch; samples are numbered from 0 over the whole training. Every shard must have more than T tokens.

Shapes: N windows in an epoch, B samples in a batch.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 4
"""Rounds of the Feistel network; 4 give a permutation that looks random (Luby and Rackoff 1988,
*How to construct pseudorandom permutations from pseudorandom functions*)."""


def every_window(lengths: list[int], context: int) -> np.ndarray:
    """All windows [N, 2] of shards of these lengths, one every T tokens from the first token of each shard."""
    counts = [(length - 1) // context for length in lengths]
    shard = np.repeat(np.arange(len(lengths)), counts)
    start = np.concatenate([np.arange(count) * context for count in counts])
    return np.stack([shard, start], axis=1)


def spread_windows(windows: np.ndarray, wanted: int) -> np.ndarray:
    """`wanted` of the windows [N, 2], evenly spaced and in order; all of them if N is smaller."""
    if wanted >= len(windows):
        return windows
    return windows[np.arange(wanted) * len(windows) // wanted]


def draw_windows(samples: np.ndarray, lengths: list[int], context: int, seed: int) -> np.ndarray:
    """Windows [B, 2] of sample numbers [B] (uint64): sample s is window s mod N of epoch s // N.

    Each epoch has its own order of the N windows, and its own offset (below T) by which all windows are moved. Room
    for the offset costs each shard at most one window.
    """
    lengths_ = np.array(lengths)
    counts = np.maximum((lengths_ - context) // context, 1)  # [shards]
    ends = np.cumsum(counts)
    total = int(ends[-1])
    epoch, position = samples // np.uint64(total), samples % np.uint64(total)
    key = mixed(mixed(np.full_like(samples, seed % 2**64)) + epoch)  # [B]
    window = permuted(position, total, key).astype(np.int64)
    shard = np.searchsorted(ends, window, side="right")
    slack = lengths_ - 1 - counts * context  # [shards] how many tokens the windows of a shard can be moved
    offset = np.minimum((key % np.uint64(context)).astype(np.int64), slack[shard])
    start = (window - (ends - counts)[shard]) * context + offset
    return np.stack([shard, start], axis=1)


def permuted(index: np.ndarray, size: int, key: np.ndarray) -> np.ndarray:
    """The image of each index [B] under a permutation of range(size) that key [B] selects (all uint64).

    A Feistel network permutes the numbers below the next power of four. A result that is not below `size` goes
    through the network again until it is; the results are then a permutation of range(size).
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    result = index.copy()
    outside = np.ones(len(index), dtype=bool)
    while outside.any():
        left, right, keys = result[outside] >> half, result[outside] & mask, key[outside]
        for turn in range(ROUNDS):
            left, right = right, left ^ (mixed(keys + right + np.uint64(turn << 32)) & mask)
        result[outside] = (left << half) | right
        outside = result >= np.uint64(size)
    return result


def mixed(values: np.ndarray) -> np.ndarray:
    """Scramble uint64 values by a bijection, the output function of SplitMix64.

    Steele, Lea and Flood 2014, *Fast splittable pseudorandom number generators*.
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
