"""Selecting the k largest weights, compiled by numba at first use (import through `cpu_kernels()`)."""

from __future__ import annotations

import numpy as np
from numba import njit

HIGHEST = np.uint32(0x7FFFFFFF)  # above the magnitude bits of every finite float32 and of infinity


@njit(cache=True, nogil=True)
def threshold_of(keys, k):  # type: ignore[no-untyped-def]
    """(t, ties): the k-th largest of the uint32 `keys`, and how many keys equal to t are among the k largest.

    A histogram of the upper 16 bits finds the bin, a second one of the lower 16 bits finds the key: two passes.
    """
    counts = np.zeros(1 << 16, np.int64)
    for key in keys:
        counts[key >> np.uint32(16)] += 1
    remaining = k
    upper = (1 << 16) - 1
    while counts[upper] < remaining:
        remaining -= counts[upper]
        upper -= 1
    counts[:] = 0
    for key in keys:
        if key >> np.uint32(16) == upper:
            counts[key & np.uint32(0xFFFF)] += 1
    lower = (1 << 16) - 1
    while counts[lower] < remaining:
        remaining -= counts[lower]
        lower -= 1
    return np.uint32((upper << 16) | lower), remaining


@njit(cache=True, nogil=True)
def zero_below(values, keys, threshold, ties):  # type: ignore[no-untyped-def]
    """Zero `values` whose key is under the threshold, and all but the first `ties` of those equal to it."""
    for i in range(values.size):
        if keys[i] > threshold:
            continue
        if keys[i] == threshold and ties > 0:
            ties -= 1
            continue
        values[i] = 0


@njit(cache=True, nogil=True)
def reserve(keys, rows, columns, min_alive, by_column):  # type: ignore[no-untyped-def]
    """Raise the key of the `min_alive` largest entries of every row (or column) to `HIGHEST`, ties by lowest index."""
    neurons = columns if by_column else rows
    largest = np.full((min_alive, neurons), -1, np.int64)  # flat indices, largest first
    for i in range(keys.size):
        neuron = i % columns if by_column else i // columns
        if largest[min_alive - 1, neuron] >= 0 and keys[i] <= keys[largest[min_alive - 1, neuron]]:
            continue
        place = min_alive - 1
        while place > 0 and (largest[place - 1, neuron] < 0 or keys[largest[place - 1, neuron]] < keys[i]):
            largest[place, neuron] = largest[place - 1, neuron]
            place -= 1
        largest[place, neuron] = i
    for index in largest.flat:
        keys[index] = HIGHEST


@njit(cache=True, nogil=True)
def fewest_kept(keys, rows, columns, threshold, ties, by_column):  # type: ignore[no-untyped-def]
    """The smallest number of entries that any row (or column) has among the k largest."""
    counts = np.zeros(columns if by_column else rows, np.int64)
    for i in range(keys.size):
        if keys[i] < threshold:
            continue
        if keys[i] == threshold:
            if ties <= 0:
                continue
            ties -= 1
        counts[i % columns if by_column else i // columns] += 1
    return counts.min()


@njit(cache=True, nogil=True)
def keep_largest(bits, rows, columns, k, min_alive, by_column):  # type: ignore[no-untyped-def]
    """Zero all but the k largest magnitudes of a float32 matrix seen as uint32 `bits` [rows * columns].

    When the k largest already hold `min_alive` entries of every neuron, those are its largest and nothing needs to be
    reserved; only otherwise the reserve is made and the threshold found again.
    """
    keys = bits & HIGHEST
    threshold, ties = threshold_of(keys, k)
    if min_alive > 0 and fewest_kept(keys, rows, columns, threshold, ties, by_column) < min_alive:
        reserve(keys, rows, columns, min_alive, by_column)
        threshold, ties = threshold_of(keys, k)
    zero_below(bits, keys, threshold, ties)
