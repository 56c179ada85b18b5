"""AbsTopK row by row, compiled by numba at first use (import through `cpu_kernels()`).

`select_rows` and `mask_rows` work on rows `start` to `stop` and release Python's lock, so that `over_rows` can give
each thread a range. Floats are handled as integers (int16 for bfloat16, int32 for float32), which have the same order
as magnitudes once the sign bit is removed. The kept entries of a row are bits in uint32 words, 32 entries in each word.

Shapes: R rows, C channels, W = ceil(C / 32) words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.simd import WORD, bits_above, bits_at_least, bits_equal, copy_kept, count_bits, magnitudes


@njit(nogil=True)
def find_kept(magnitude, k, words):  # type: ignore[no-untyped-def]
    """Write into `words` [W] which k of the integers `magnitude` [32 W] are largest; of equal ones the lowest index.

    The k-th largest value is found by bisection. To count the entries above a value takes a few vector comparisons of a
    row that stays in registers or the first-level cache. Entries past the row's width must be -1.
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
    ties = np.int64(k)  # how many entries equal to the threshold are kept
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
    """Write the magnitudes of one row `bits` [C] into `magnitude` [32 W]; entries past C keep their -1."""
    whole = width // WORD * WORD
    for i in range(0, whole, WORD):
        magnitudes(bits, i, magnitude, i)
    mask = bits.dtype.type(-1) ^ (bits.dtype.type(1) << bits.dtype.type(bits.itemsize * 8 - 1))
    for i in range(whole, width):
        magnitude[i] = bits[i] & mask


@njit(nogil=True)
def copy_row(bits, width, words, out):  # type: ignore[no-untyped-def]
    """Write the kept entries of one row `bits` [C], and zeros elsewhere, into `out` [C]."""
    whole = width // WORD * WORD
    for i in range(0, whole, WORD):
        copy_kept(bits, i, words[i // WORD], out, i)
    for i in range(whole, width):
        out[i] = bits[i] if words[i // WORD] >> np.uint32(i % WORD) & np.uint32(1) else 0


@njit(nogil=True)
def keep_row(values, width, k, magnitude, words):  # type: ignore[no-untyped-def]
    """Write into `words` which k entries of the row `values` are kept: all of them if k is at least the width."""
    if k >= width:
        words[:] = np.uint32(0xFFFFFFFF)
        return
    read_magnitudes(values, width, magnitude)
    find_kept(magnitude, k, words)


@njit(nogil=True, cache=True)
def select_rows(start, stop, bits, k, out, kept):  # type: ignore[no-untyped-def]
    """Write AbsTopK of `bits` [R, C] into `out` [R, C], and the words of kept entries into `kept` [R, W]."""
    width = bits.shape[1]
    magnitude = np.full(kept.shape[1] * WORD, -1, bits.dtype)
    for row in range(start, stop):
        read_magnitudes(bits[row], width, magnitude)
        find_kept(magnitude, k, kept[row])
        copy_row(bits[row], width, kept[row], out[row])


@njit(nogil=True, cache=True)
def mask_rows(start, stop, bits, kept, out):  # type: ignore[no-untyped-def]
    """Write `bits` [R, C] where kept, and zeros elsewhere, into `out` [R, C]: the backward of AbsTopK."""
    for row in range(start, stop):
        copy_row(bits[row], bits.shape[1], kept[row], out[row])
