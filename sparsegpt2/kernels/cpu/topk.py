"""AbsTopK row by row, compiled by numba at its first use. Import this module through `cpu_kernels()`.

`select_rows` and `mask_rows` work on rows `start` to `stop` and release Python's global lock, so that `over_rows` can
give each thread a range. Floats are handled as integers (int16 for bfloat16, int32 for float32), which have the same
order as the magnitudes once the sign bit is removed. A bit for each entry of a row says whether it is kept; 32 of these
bits are in one uint32 word.

Shapes: R rows, C channels, W = ceil(C / 32) words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.simd import WORD, bits_above, bits_at_least, bits_equal, copy_kept, count_bits, magnitudes


@njit(nogil=True)
def find_kept(magnitude, k, words):  # type: ignore[no-untyped-def]
    """Set the bits in `words` [W] of the k largest of the integers `magnitude` [32 W].

    Of equal integers, the one with the lowest index is taken. The k-th largest value is found by bisection. Counting
    the entries above a value takes only a few vector comparisons, because the row stays in registers or in the
    first-level cache. Entries past the row's width must be -1.
    """
    low, high = np.int64(0), np.int64(0)
    for i in range(magnitude.size):
        high = max(high, np.int64(magnitude[i]))
    while low < high:
        middle = (low + high + 1) >> 1
        count = np.int64(0)
        for word in range(words.size):
            count += count_bits(bits_at_least(magnitude, word * WORD, middle))
        if count == k:
            for word in range(words.size):
                words[word] = bits_at_least(magnitude, word * WORD, middle)
            return
        if count > k:
            low = middle
        else:
            high = middle - 1
    ties = np.int64(k)  # becomes the number of entries that are kept although they only equal the threshold
    for word in range(words.size):
        words[word] = bits_above(magnitude, word * WORD, low)
        ties -= count_bits(words[word])
    for word in range(words.size):
        equal = bits_equal(magnitude, word * WORD, low)
        if count_bits(equal) > ties:
            first = np.uint32(0)
            for _ in range(ties):
                lowest = equal & (~equal + np.uint32(1))
                first |= lowest
                equal ^= lowest
            equal = first
        ties -= count_bits(equal)
        words[word] |= equal


@njit(nogil=True)
def read_magnitudes(bits, width, magnitude):  # type: ignore[no-untyped-def]
    """Write the magnitudes of one row `bits` [C] into `magnitude` [32 W], whose entries from C on stay -1."""
    whole = width // WORD * WORD
    for i in range(0, whole, WORD):
        magnitudes(bits, i, magnitude, i)
    mask = bits.dtype.type(-1) ^ (bits.dtype.type(1) << bits.dtype.type(bits.itemsize * 8 - 1))
    for i in range(whole, width):
        magnitude[i] = bits[i] & mask


@njit(nogil=True)
def copy_row(bits, width, words, out):  # type: ignore[no-untyped-def]
    """Write the kept entries of one row `bits` [C] into `out` [C], and zeros elsewhere."""
    whole = width // WORD * WORD
    for i in range(0, whole, WORD):
        copy_kept(bits, i, words[i // WORD], out, i)
    for i in range(whole, width):
        out[i] = bits[i] if words[i // WORD] >> np.uint32(i % WORD) & np.uint32(1) else 0


@njit(nogil=True)
def keep_row(values, width, k, magnitude, words):  # type: ignore[no-untyped-def]
    """Set the bits in `words` of the k kept entries of the row `values`; all bits if k is at least the width."""
    if k >= width:
        words[:] = np.uint32(0xFFFFFFFF)
        return
    read_magnitudes(values, width, magnitude)
    find_kept(magnitude, k, words)


@njit(nogil=True, cache=True)
def select_rows(start, stop, bits, k, out, kept):  # type: ignore[no-untyped-def]
    """Write AbsTopK of `bits` [R, C] into `out` [R, C], and the bits of the kept entries into `kept` [R, W]."""
    width = bits.shape[1]
    magnitude = np.full(kept.shape[1] * WORD, -1, bits.dtype)
    for row in range(start, stop):
        read_magnitudes(bits[row], width, magnitude)
        find_kept(magnitude, k, kept[row])
        copy_row(bits[row], width, kept[row], out[row])


@njit(nogil=True, cache=True)
def mask_rows(start, stop, bits, kept, out):  # type: ignore[no-untyped-def]
    """Write the kept entries of `bits` [R, C] into `out` [R, C], and zeros elsewhere: the backward pass of AbsTopK."""
    for row in range(start, stop):
        copy_row(bits[row], bits.shape[1], kept[row], out[row])
