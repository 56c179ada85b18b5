"""Products of dense activations with a sparse matrix, compiled by numba at first use.

A row of the sparse matrix is applied to 32 tokens at a time. Their activations are transposed, so that the values of
one channel for all 32 tokens are next to each other in memory. For each nonzero weight, one multiply-add of vectors
then handles 16 tokens. When the sums of 16 outputs are complete, they are transposed, so that the outputs of one token
are next to each other.

Shapes: N tokens, K inputs, O outputs, E nonzeros. Matrices are stored as compressed rows: `begins` [O + 1], `columns`
[E] int32, `values` [E] float32. Row i has values[e] in column columns[e], for e from begins[i] to begins[i + 1] - 1.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.math import FAST, from_bfloat16, to_bfloat16
from sparsegpt2.kernels.cpu.simd import (
    LANES,
    add_pairs,
    broadcast,
    fma,
    gather_tile,
    load,
    load_tile,
    lowest_bit,
    scatter_tile,
    store,
    store_tile,
    transposed,
)

TOKENS = 2 * LANES


@njit(nogil=True, cache=True)
def count_nonzero(matrix):  # type: ignore[no-untyped-def]
    """Number of nonzero entries of a float32 matrix."""
    count = 0
    for value in matrix.flat:
        count += value != 0
    return count


@njit(nogil=True, cache=True)
def compress(matrix, count, rounded):  # type: ignore[no-untyped-def]
    """Returns (begins, columns, values) of a float32 matrix [O, K] with `count` nonzeros.

    rounded: round values to bfloat16.
    """
    begins = np.zeros(matrix.shape[0] + 1, np.int64)
    columns, values = np.empty(count, np.int32), np.empty(count, np.float32)
    place = 0
    for i in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            if matrix[i, j] != 0:
                columns[place] = j
                values[place] = from_bfloat16(to_bfloat16(matrix[i, j])) if rounded else matrix[i, j]
                place += 1
        begins[i + 1] = place
    return begins, columns, values


@njit(nogil=True, cache=True)
def transpose(begins, columns, values, width):  # type: ignore[no-untyped-def]
    """The compressed rows of the transposed matrix, [width, O], for those of a matrix [O, width]."""
    starts = np.zeros(width + 1, np.int64)
    for column in columns:
        starts[column + 1] += 1
    starts = np.cumsum(starts)
    free = starts.copy()
    rows, swapped = np.empty_like(columns), np.empty_like(values)
    for i in range(begins.size - 1):
        for place in range(begins[i], begins[i + 1]):
            to = free[columns[place]]
            rows[to], swapped[to] = i, values[place]
            free[columns[place]] += 1
    return starts, rows, swapped


@njit(nogil=True, cache=True)
def multiply(start, stop, x, begins, columns, values, bias, out):  # type: ignore[no-untyped-def]
    """out [N, O] = x [N, K] times the transpose of a compressed matrix [O, K], plus bias [O] float32 (or empty).

    Only rows `start` to `stop` of x and out are handled.
    x and out are float32, or the bits of bfloat16 as int16. K and O must be multiples of 16. Sums are float32.
    """
    inputs, outputs = x.shape[1], out.shape[1]
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    turned = np.empty(inputs * TOKENS, np.float32)  # [K, 32 tokens]
    sums = np.empty(2 * LANES * LANES, np.float32)  # two tiles [16 outputs, 16 tokens]
    last = np.empty(LANES * LANES, x.dtype)
    for first in range(start, stop, TOKENS):
        for half in range(2):
            # if this half is past the end, the last 16 tokens are computed again
            token = min(first + half * LANES, max(start, stop - LANES))
            read_turned(flat_x, token, stop, inputs, half, turned, last)
        for output in range(0, outputs, LANES):
            for i in range(LANES):
                extra = broadcast(bias[output + i] if bias.size else np.float32(0))
                a, b = extra, extra
                c, d = broadcast(np.float32(0)), broadcast(np.float32(0))
                place, end = begins[output + i], begins[output + i + 1]
                while place + 1 < end:
                    w, at = broadcast(values[place]), columns[place] * TOKENS
                    v, then = broadcast(values[place + 1]), columns[place + 1] * TOKENS
                    a, b = fma(w, load(turned, at), a), fma(w, load(turned, at + LANES), b)
                    c, d = fma(v, load(turned, then), c), fma(v, load(turned, then + LANES), d)
                    place += 2
                if place < end:
                    w, at = broadcast(values[place]), columns[place] * TOKENS
                    a, b = fma(w, load(turned, at), a), fma(w, load(turned, at + LANES), b)
                store(sums, i * LANES, a + c)
                store(sums, (LANES + i) * LANES, b + d)
            for half in range(2):
                token = min(first + half * LANES, max(start, stop - LANES))
                tile = transposed(load_tile(sums, half * LANES * LANES))
                if token + LANES <= stop:
                    scatter_tile(flat_out, token * outputs + output, outputs, tile)
                else:
                    scatter_tile(last, 0, LANES, tile)
                    for i in range(stop - token):
                        for j in range(LANES):
                            flat_out[(token + i) * outputs + output + j] = last[i * LANES + j]


@njit(nogil=True)
def read_turned(flat_x, token, stop, inputs, half, turned, room):  # type: ignore[no-untyped-def]
    """Copy the activations of 16 tokens, from `token` on, into columns 16 * half to 16 * half + 15 of `turned` [K, 32].

    If fewer than 16 tokens are left before `stop`, the last one is repeated; `room` is memory for that.
    """
    for channel in range(0, inputs, LANES):
        if token + LANES <= stop:
            tile = gather_tile(flat_x, token * inputs + channel, inputs)
        else:
            for i in range(LANES):
                row = min(token + i, stop - 1)
                for j in range(LANES):
                    room[i * LANES + j] = flat_x[row * inputs + channel + j]
            tile = gather_tile(room, 0, LANES)
        scatter_tile(turned, channel * TOKENS + half * LANES, TOKENS, transposed(tile))


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def column_sums(start, stop, x, block, sums):  # type: ignore[no-untyped-def]
    """Add the rows of x [N, O] bfloat16 to `sums` [N / block, O] float32: each `block` rows to one row of `sums`."""
    for row in range(start, stop):
        values, target = x[row], sums[row // block]
        for i in range(x.shape[1]):
            target[i] += from_bfloat16(values[i])


PAIRS = 28  # number of pairs of tokens that are handled together; each has one bit of a word
WIDE = LANES * LANES  # number of inputs whose sums fill the registers


@njit(nogil=True, cache=True)
def outer_sums(start, stop, gradient, x, out):  # type: ignore[no-untyped-def]
    """out [O, K] float32 = gradient [N, O] transposed times x [N, K], both bfloat16, for outputs `start` to `stop`.

    Tokens are taken in pairs. For each output, a pair is skipped if the gradients of both tokens are zero. If AbsTopK
    leaves a quarter of the gradients nonzero, 44% of the pairs have a nonzero one. K must be a multiple of 256. Needs a
    CPU with avx512_bf16.
    """
    tokens, inputs = gradient.shape[0], x.shape[1]
    flat_out = out.reshape(-1)
    words = np.empty(stop - start, np.uint32)
    factors = np.empty((PAIRS, stop - start), np.int32)
    paired = np.empty(PAIRS * WIDE, np.int32)
    for output in range(start, stop):
        out[output] = 0
    for first in range(0, tokens, 2 * PAIRS):
        words[:] = 0
        for pair in range(min(PAIRS, (tokens - first + 1) // 2)):
            even = first + 2 * pair
            odd = min(even + 1, tokens - 1)
            present = np.int32(even + 1 < tokens)  # 0 if the last token has no partner
            values, others, row = gradient[even], gradient[odd], factors[pair]
            for j in range(stop - start):
                both = np.int32(values[start + j]) & np.int32(0xFFFF)
                both |= np.int32(np.int32(others[start + j]) * present) << np.int32(16)
                row[j] = both
                words[j] |= np.uint32(np.uint32(both != 0) << np.uint32(pair))
        for channel in range(0, inputs, WIDE):
            pair_rows(x, first, channel, paired)
            for output in range(start, stop):
                tile = load_tile(flat_out, output * inputs + channel)
                word = words[output - start]
                while word != 0:
                    pair = lowest_bit(word)
                    word &= word - np.uint32(1)
                    tile = add_pairs(tile, factors[pair, output - start], paired, pair * WIDE)
                store_tile(flat_out, output * inputs + channel, tile)


@njit(nogil=True)
def pair_rows(x, first, channel, paired):  # type: ignore[no-untyped-def]
    """Copy 256 channels of the tokens from `first` on into `paired` [pairs, 256], with one int32 per pair of tokens."""
    for pair in range(min(PAIRS, (x.shape[0] - first + 1) // 2)):
        even = first + 2 * pair
        values, others = x[even], x[min(even + 1, x.shape[0] - 1)]
        row = paired[pair * WIDE : (pair + 1) * WIDE]
        for j in range(WIDE):
            low, high = np.int32(values[channel + j]), np.int32(others[channel + j])
            row[j] = (low & np.int32(0xFFFF)) | (high << np.int32(16))
