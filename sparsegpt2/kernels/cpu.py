"""Loops for the CPU, compiled by numba at first use. Import only through `cpu_loops()`: numba may be missing."""

from __future__ import annotations

import numba
import numpy as np
import torch
from numba import njit, prange

HIGHEST = np.uint32(0x7FFFFFFF)  # above the magnitude bits of every finite float32 and of infinity


def start_threads() -> None:
    """Start numba's threads now, and undo what that does to torch.

    Numba's OpenMP layer sets the number of threads of the OpenMP runtime, which torch shares, to that of the machine.
    """
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    torch.set_num_threads(threads)


def match_threads() -> None:
    """Use as many threads as torch does."""
    numba.set_num_threads(min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]


start_threads()


@njit(parallel=True, fastmath=True, cache=True)
def select_rows(bits, magnitude_mask, k, out, kept):  # type: ignore[no-untyped-def]
    """AbsTopK of each row of `bits` [rows, width], floats seen as integers; ties are kept by lowest index.

    Magnitudes of floats order like their bits without the sign, so the k-th largest is found by bisection on the
    integer. Counting in float32 lets LLVM use full-width vectors. `kept` [rows, width] uint8 gets the mask.
    """
    rows, width = bits.shape
    for row in prange(rows):
        magnitude = np.empty(width, np.int32)
        low, high = np.int64(0), np.int64(0)
        for i in range(width):
            magnitude[i] = np.int32(bits[row, i] & magnitude_mask)
            high = max(high, magnitude[i])
        ties = np.int64(-1)  # how many entries equal to the threshold to keep; -1: all of them
        while low < high:
            middle = np.int32((low + high + 1) >> 1)
            count = np.float32(0)
            for i in range(width):
                count += np.float32(1) if magnitude[i] >= middle else np.float32(0)
            if count == k:
                low = np.int64(middle)
                break
            if count > k:
                low = np.int64(middle)
            else:
                high = np.int64(middle) - 1
        else:
            above = np.int64(0)
            for i in range(width):
                above += magnitude[i] > low
            ties = k - above
        threshold = np.int32(low)
        if ties < 0:
            for i in range(width):
                keep = magnitude[i] >= threshold
                kept[row, i] = keep
                out[row, i] = bits[row, i] if keep else 0
        else:
            for i in range(width):
                keep = magnitude[i] > threshold
                if magnitude[i] == threshold and ties > 0:
                    ties -= 1
                    keep = True
                kept[row, i] = keep
                out[row, i] = bits[row, i] if keep else 0


@njit(cache=True)
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


@njit(cache=True)
def zero_below(values, keys, threshold, ties):  # type: ignore[no-untyped-def]
    """Zero `values` whose key is under the threshold, and all but the first `ties` of those equal to it."""
    for i in range(values.size):
        if keys[i] > threshold:
            continue
        if keys[i] == threshold and ties > 0:
            ties -= 1
            continue
        values[i] = 0


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
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
