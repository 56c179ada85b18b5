"""Causal sink attention for heads of 16 channels, compiled by numba at first use.

The 16 channels of a head fill one float32 vector, and so does one channel of 16 queries. With both layouts, every
product in attention is a loop of fused multiply-adds on registers, and no sum across the lanes of a vector is needed.
Torch's fused CPU kernel calls a matrix product for each block and head instead, which takes most of its time for heads
this small.

Shapes: B rows, H heads, T positions, 16 head channels. A call handles the heads `start` to `stop`, counted over all
rows from 0 to B * H. Queries, keys, values and gradients are flat int16 arrays (the bits of bfloat16). In them, the 16
channels of head h at position t of row b begin at (b * T + t) * stride + h * 16. Sums are float32.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.math import FAST, from_bfloat16, to_bfloat16
from sparsegpt2.kernels.cpu.simd import (
    LANES,
    add_outer,
    broadcast,
    dot_tile,
    fma,
    from_lane,
    larger,
    load,
    load_tile,
    round_,
    scale_tile,
    store,
    store_tile,
    two_to,
    zero_tile,
)

D = 16  # channels of a head
NEVER = np.float32(-1e30)  # the score of a key that a query must not attend to


@njit(nogil=True)
def exponentials(x):  # type: ignore[no-untyped-def]
    """exp of each lane, which must be at most 88; below -87 the result is exp(-87)."""
    x = larger(x, broadcast(np.float32(-87.0)))
    n = round_(x * broadcast(np.float32(1.4426950408889634)))
    r = fma(n, broadcast(np.float32(-0.693359375)), x)
    r = fma(n, broadcast(np.float32(2.12194440e-4)), r)
    p = fma(broadcast(np.float32(1.3981999507e-3)), r, broadcast(np.float32(8.3334519073e-3)))
    p = fma(p, r, broadcast(np.float32(4.1665795894e-2)))
    p = fma(p, r, broadcast(np.float32(1.6666665459e-1)))
    p = fma(p, r, broadcast(np.float32(5.0000001201e-1)))
    p = fma(p, r * r, r) + broadcast(np.float32(1))
    return p * two_to(n)


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def read_head(source, first, stride, length, out):  # type: ignore[no-untyped-def]
    """Copy the 16 channels of a head at all positions into `out`, float32 [T * 16]."""
    for t in range(length):
        store(out, t * D, load(source, first + t * stride))


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def read_queries(source, first, stride, count, factor, rows, columns):  # type: ignore[no-untyped-def]
    """Copy up to 16 positions of a head, times `factor`, into `rows` [16 positions, 16] and, transposed, `columns`."""
    for lane in range(LANES):
        for i in range(D):
            value = np.float32(0)
            if lane < count:
                value = from_bfloat16(source[first + lane * stride + i]) * factor
            rows[lane * D + i] = value
            columns[i * LANES + lane] = value


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def write_queries(columns, count, out, first, stride):  # type: ignore[no-untyped-def]
    """Write `columns` [16, 16 positions] float32 to the channels of a head in `out`, at up to 16 positions."""
    for lane in range(count):
        for i in range(D):
            out[first + lane * stride + i] = to_bfloat16(columns[i * LANES + lane])


@njit(nogil=True, cache=True)
def attend(start, stop, q, k, v, strides, sink, heads, length, causal, out, lse):  # type: ignore[no-untyped-def]
    """Write attention into `out`, and the log of each query's softmax denominator (with the sink) into lse [B * H, T].

    strides: those of q, k, v and out. sink: [H] float32 logits, or empty if there is no sink.
    """
    stride_q, stride_k, stride_v, stride_out = strides
    keys, values = np.empty(length * D, np.float32), np.empty(length * D, np.float32)
    scores = np.empty(length * LANES, np.float32)
    rows, columns = np.empty(LANES * D, np.float32), np.empty(LANES * D, np.float32)
    highest, total = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    factor = np.float32(1 / np.sqrt(D))
    for n in range(start, stop):
        row, channel = n // heads * length, n % heads * D
        read_head(k, row * stride_k + channel, stride_k, length, keys)
        read_head(v, row * stride_v + channel, stride_v, length, values)
        for first in range(0, length, LANES):
            count = min(LANES, length - first)
            read_queries(q, (row + first) * stride_q + channel, stride_q, count, factor, rows, columns)
            queries = load_tile(columns, 0)
            last = min(length, first + LANES) if causal else length
            top = broadcast(sink[n % heads] if sink.size else NEVER)
            for key in range(last):
                score = dot_tile(queries, keys, key * D)
                if causal and key > first:
                    score = from_lane(score, key - first, NEVER)
                store(scores, key * LANES, score)
                top = larger(top, score)
            share = broadcast(np.float32(0))
            if sink.size:
                share = exponentials(broadcast(sink[n % heads]) - top)
            mixed = zero_tile()
            for key in range(last):
                weight = exponentials(load(scores, key * LANES) - top)
                share = share + weight
                mixed = add_outer(mixed, weight, values, key * D)
            store_tile(columns, 0, scale_tile(mixed, broadcast(np.float32(1)) / share))
            write_queries(columns, count, out, (row + first) * stride_out + channel, stride_out)
            store(highest, 0, top)
            store(total, 0, share)
            for lane in range(count):
                lse[n, first + lane] = highest[lane] + np.log(total[lane])


@njit(nogil=True, cache=True)
def attend_backward(start, stop, grad, out, q, k, v, strides, sink, heads, length, causal, lse, gradients, of_sink):  # type: ignore[no-untyped-def]
    """Write the gradients of `attend`: of q, k and v into the three `gradients`, of the sink into `of_sink` [B * H].

    strides: those of q, k, v, out and grad, and the one that the three gradients share.
    """
    stride_q, stride_k, stride_v, stride_out, stride_grad, stride_to = strides
    of_q, of_k, of_v = gradients
    size = length * D
    keys, values = np.empty(size, np.float32), np.empty(size, np.float32)
    to_keys, to_values = np.empty(size, np.float32), np.empty(size, np.float32)
    weights, slopes = np.empty(length * LANES, np.float32), np.empty(length * LANES, np.float32)
    query_rows, query_columns = np.empty(LANES * D, np.float32), np.empty(LANES * D, np.float32)
    grad_rows, grad_columns = np.empty(LANES * D, np.float32), np.empty(LANES * D, np.float32)
    inner, logs = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    factor, one = np.float32(1 / np.sqrt(D)), np.float32(1)
    for n in range(start, stop):
        row, channel = n // heads * length, n % heads * D
        read_head(k, row * stride_k + channel, stride_k, length, keys)
        read_head(v, row * stride_v + channel, stride_v, length, values)
        to_keys[:] = 0
        to_values[:] = 0
        paid = np.float32(0)
        for first in range(0, length, LANES):
            count = min(LANES, length - first)
            read_queries(q, (row + first) * stride_q + channel, stride_q, count, factor, query_rows, query_columns)
            read_queries(grad, (row + first) * stride_grad + channel, stride_grad, count, one, grad_rows, grad_columns)
            for lane in range(count):
                logs[lane] = lse[n, first + lane]
                total, place = np.float32(0), (row + first + lane) * stride_out + channel
                for i in range(D):
                    total += grad_rows[lane * D + i] * from_bfloat16(out[place + i])
                inner[lane] = total
                if sink.size:
                    paid += np.exp(sink[n % heads] - logs[lane]) * total
            last = min(length, first + LANES) if causal else length
            denominator, along = load(logs, 0), load(inner, 0)
            queries = load_tile(query_columns, 0)
            for key in range(last):
                score = dot_tile(queries, keys, key * D)
                if causal and key > first:
                    score = from_lane(score, key - first, NEVER)
                store(weights, key * LANES, exponentials(score - denominator))
            towards = load_tile(grad_columns, 0)
            for key in range(last):
                slope = dot_tile(towards, values, key * D) - along
                store(slopes, key * LANES, load(weights, key * LANES) * slope)
            to_queries = zero_tile()
            for key in range(last):
                to_queries = add_outer(to_queries, load(slopes, key * LANES), keys, key * D)
            store_tile(query_columns, 0, scale_tile(to_queries, broadcast(factor)))
            write_queries(query_columns, count, of_q, (row + first) * stride_to + channel, stride_to)
            towards = load_tile(grad_rows, 0)
            for key in range(last):
                store(to_values, key * D, load(to_values, key * D) + dot_tile(towards, weights, key * LANES))
            queries = load_tile(query_rows, 0)
            for key in range(last):
                store(to_keys, key * D, load(to_keys, key * D) + dot_tile(queries, slopes, key * LANES))
        for t in range(length):
            store(of_k, (row + t) * stride_to + channel, load(to_keys, t * D))
            store(of_v, (row + t) * stride_to + channel, load(to_values, t * D))
        of_sink[n] = -paid
