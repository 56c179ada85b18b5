"""Select the k largest weights of a tensor. Compiled by numba at its first use; import it through `cpu_kernels()`.

The key of a weight is its float32 bits without the sign. Keys have the same order as magnitudes. A neuron is a row of
the weight matrix or, with `by_column`, a column.
"""

from __future__ import annotations

import numpy as np
from numba import njit

HIGHEST = np.uint32(0x7FFFFFFF)  # above the key of every finite float32 and of infinity
INFINITY = np.uint32(0x7F800000)
NAN = np.uint32(0x7FC00000)


@njit(cache=True, nogil=True)
def threshold_of(bits, k):  # type: ignore[no-untyped-def]
    """Returns (t, ties, count), where t is the k-th largest key of `bits`.

    ties: how many keys that equal t are kept if exactly k keys are kept. count: how many keys are at least t. This
    takes two passes over `bits`. A histogram of the upper 16 bits finds the bin of t, and a histogram of the lower 16
    bits, inside that bin, finds t.
    """
    counts = np.zeros(1 << 16, np.int64)
    for value in bits:
        counts[(value & HIGHEST) >> np.uint32(16)] += 1
    remaining = k
    upper = (1 << 16) - 1
    while counts[upper] < remaining:
        remaining -= counts[upper]
        upper -= 1
    counts[:] = 0
    for value in bits:
        if (value & HIGHEST) >> np.uint32(16) == upper:
            counts[value & np.uint32(0xFFFF)] += 1
    lower = (1 << 16) - 1
    while counts[lower] < remaining:
        remaining -= counts[lower]
        lower -= 1
    return np.uint32((upper << 16) | lower), remaining, k - remaining + counts[lower]


@njit(cache=True, nogil=True)
def at_least(bits, threshold, count):  # type: ignore[no-untyped-def]
    """Flat indices of the `count` entries whose key is at least `threshold`, in ascending order."""
    indices = np.empty(count, np.int64)
    place = 0
    for i in range(bits.size):
        if bits[i] & HIGHEST >= threshold:
            indices[place] = i
            place += 1
    return indices


@njit(cache=True, nogil=True)
def without_ties(indices, keys, threshold, ties):  # type: ignore[no-untyped-def]
    """The indices whose key is above `threshold`, and the first `ties` of those whose key equals it.

    keys: the keys of the entries at `indices`, in the same order.
    """
    kept = np.empty_like(indices)
    place = 0
    for i in range(indices.size):
        if keys[i] < threshold:
            continue
        if keys[i] == threshold:
            if ties <= 0:
                continue
            ties -= 1
        kept[place] = indices[i]
        place += 1
    return kept[:place]


@njit(cache=True, nogil=True)
def insert(largest, keys, key, index):  # type: ignore[no-untyped-def]
    """Insert an entry into a neuron's list of largest entries, which is sorted by key, largest first.

    Of equal keys, the one inserted first stays ahead. An index of -1 is an empty place. An entry that is too small for
    the list is ignored.
    """
    place = largest.size - 1
    if largest[place] >= 0 and key <= keys[place]:
        return
    while place > 0 and (largest[place - 1] < 0 or keys[place - 1] < key):
        largest[place], keys[place] = largest[place - 1], keys[place - 1]
        place -= 1
    largest[place], keys[place] = index, key


@njit(cache=True, nogil=True)
def reserved(bits, rows, columns, indices, min_alive, by_column):  # type: ignore[no-untyped-def]
    """Flat indices [neurons, min_alive] of the largest entries of every neuron.

    Of equal keys the lowest index is taken. indices: all entries whose key is at least some threshold, in ascending
    order. If a neuron has at least `min_alive` entries in `indices`, its largest entries are among them. Only the other
    neurons are searched completely.
    """
    neurons, length = (columns, rows) if by_column else (rows, columns)
    largest = np.full((neurons, min_alive), -1, np.int64)
    keys = np.zeros((neurons, min_alive), np.uint32)
    for index in indices:
        neuron = index % columns if by_column else index // columns
        insert(largest[neuron], keys[neuron], bits[index] & HIGHEST, index)
    for neuron in range(neurons):
        if largest[neuron, min_alive - 1] < 0:
            largest[neuron] = -1
            for i in range(length):
                index = i * columns + neuron if by_column else neuron * columns + i
                insert(largest[neuron], keys[neuron], bits[index] & HIGHEST, index)
    return largest


@njit(cache=True, nogil=True)
def fewest_kept(kept, rows, columns, by_column):  # type: ignore[no-untyped-def]
    """The smallest number of entries in `kept`, a list of flat indices, that any one neuron has."""
    counts = np.zeros(columns if by_column else rows, np.int64)
    for index in kept:
        counts[index % columns if by_column else index // columns] += 1
    return counts.min()


@njit(cache=True, nogil=True)
def has_nan(bits, indices):  # type: ignore[no-untyped-def]
    """Whether an entry at `indices` is NaN."""
    found = False
    for index in indices:  # numba compiles no `any` over a generator
        found |= bits[index] & HIGHEST > INFINITY
    return found


@njit(cache=True, nogil=True)
def keep_largest(bits, rows, columns, k, min_alive, by_column):  # type: ignore[no-untyped-def]
    """Set to zero all but the k largest magnitudes of a float32 matrix, given as uint32 `bits` [rows * columns].

    If the k largest include `min_alive` entries of every neuron, nothing needs to be reserved. Otherwise the largest
    `min_alive` entries of each neuron are reserved: they get a key above all others. This can only raise the threshold
    (the k-th largest key). So the new threshold is found among the reserved entries and those that reach the old one.
    """
    threshold, ties, count = threshold_of(bits, k)
    indices = at_least(bits, threshold, count)
    if has_nan(bits, indices):  # NaN has many bit patterns, which must rank alike
        for i in range(bits.size):
            if bits[i] & HIGHEST > INFINITY:
                bits[i] = NAN
        threshold, ties, count = threshold_of(bits, k)
        indices = at_least(bits, threshold, count)
    kept = without_ties(indices, bits[indices] & HIGHEST, threshold, ties)
    if min_alive > 0 and fewest_kept(kept, rows, columns, by_column) < min_alive:
        first = reserved(bits, rows, columns, indices, min_alive, by_column).ravel()
        indices = np.unique(np.concatenate((indices, first)))
        keys = bits[indices] & HIGHEST
        keys[np.searchsorted(indices, first)] = HIGHEST
        threshold, ties, _ = threshold_of(keys, k)
        kept = without_ties(indices, keys, threshold, ties)
    values = bits[kept]
    bits[:] = 0
    bits[kept] = values
