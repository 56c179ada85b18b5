"""AbsTopK fused with the operation next to it: RMSNorm or the nonlinearity before it, or the residual sum after it.

It is compiled by numba at its first use; import this module through `cpu_kernels()`. Each row is read once and written
once. Between the two it stays in the first-level cache. bfloat16 is handled as int16 bits.

Shapes: R rows, C channels, W = ceil(C / 32) words, with one bit for each entry that says whether it is kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.math import FAST, exponential, from_bfloat16, to_bfloat16
from sparsegpt2.kernels.cpu.simd import WORD
from sparsegpt2.kernels.cpu.topk import copy_row, keep_row

SQRT_HALF = np.float32(0.7071067811865476)
DENSITY_AT_ZERO = np.float32(0.3989422804014327)  # 1 / sqrt(2 pi)


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def norm_rows(start, stop, x, weight, eps, k, out, kept, scale):  # type: ignore[no-untyped-def]
    """RMSNorm of `x` [R, C] float32, rounded to bfloat16, then AbsTopK. Writes `out` [R, C] and the bits `kept` [R, W].

    It also writes 1 / sqrt(mean square + eps) of each row into `scale` [R].
    """
    width = x.shape[1]
    magnitude = np.full(kept.shape[1] * WORD, -1, np.int16)
    normed = np.empty(width, np.int16)
    for row in range(start, stop):
        values = x[row]
        total = np.float32(0)
        for i in range(width):
            total += values[i] * values[i]
        factor = np.float32(1) / np.sqrt(total / np.float32(width) + np.float32(eps))
        scale[row] = factor
        for i in range(width):
            normed[i] = to_bfloat16(values[i] * factor * weight[i])
        keep_row(normed, width, k, magnitude, kept[row])
        copy_row(normed, width, kept[row], out[row])


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def norm_backward_rows(start, stop, grad, kept, x, weight, scale, block, of_x, of_weight):  # type: ignore[no-untyped-def]
    """Gradients of `norm_rows`: `of_x` [R, C] float32, and `of_weight` [R / block, C], one sum per block of rows."""
    width = x.shape[1]
    masked = np.empty(width, np.int16)
    upstream = np.empty(width, np.float32)
    for row in range(start, stop):
        copy_row(grad[row], width, kept[row], masked)
        values, factor, sums = x[row], scale[row], of_weight[row // block]
        along = np.float32(0)
        for i in range(width):
            g = from_bfloat16(masked[i])
            sums[i] += g * values[i] * factor
            upstream[i] = g * weight[i]
            along += upstream[i] * values[i]
        along *= factor * factor / np.float32(width)
        target = of_x[row]
        for i in range(width):
            target[i] = factor * (upstream[i] - along * values[i])


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def normal_parts(x):  # type: ignore[no-untyped-def]
    """Returns (Phi(x), phi(x)): cumulative probability and density of the standard normal distribution, within 2e-7.

    The formula is 7.1.26 in Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964).
    """
    size = abs(x)
    density = exponential(np.float32(-0.5) * x * x)  # times sqrt(2 pi)
    t = np.float32(1) / (np.float32(1) + np.float32(0.3275911) * SQRT_HALF * size)
    p = np.float32(1.061405429)
    p = p * t + np.float32(-1.453152027)
    p = p * t + np.float32(1.421413741)
    p = p * t + np.float32(-0.284496736)
    p = p * t + np.float32(0.254829592)
    tail = np.float32(0.5) * p * t * density
    return (np.float32(1) - tail if x > 0 else tail), density * DENSITY_AT_ZERO


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def sigmoid_parts(x):  # type: ignore[no-untyped-def]
    """Returns (c(x), c'(x)), where c is the curve that replaces Phi in the tanh form of GELU."""
    cubic = np.float32(0.044715) * x * x
    inner = np.float32(1.5957691216057308) * x * (np.float32(1) + cubic)
    share = np.float32(1) / (np.float32(1) + exponential(min(-inner, np.float32(80))))
    slope = np.float32(1.5957691216057308) * (np.float32(1) + np.float32(3) * cubic)
    return share, share * (np.float32(1) - share) * slope


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def activate_rows(start, stop, h, kind, k, out, kept):  # type: ignore[no-untyped-def]
    """The MLP's nonlinearity on `h` [R, C] bfloat16, then AbsTopK. kind: 0 is GELU, 1 its tanh form, 2 ReLU."""
    width = h.shape[1]
    magnitude = np.full(kept.shape[1] * WORD, -1, np.int16)
    active = np.empty(width, np.int16)
    for row in range(start, stop):
        values = h[row]
        if kind == 0:
            for i in range(width):
                x = from_bfloat16(values[i])
                active[i] = to_bfloat16(x * normal_parts(x)[0])
        elif kind == 1:
            for i in range(width):
                x = from_bfloat16(values[i])
                active[i] = to_bfloat16(x * sigmoid_parts(x)[0])
        else:
            for i in range(width):
                active[i] = max(values[i], np.int16(0))
        keep_row(active, width, k, magnitude, kept[row])
        copy_row(active, width, kept[row], out[row])


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def activate_backward_rows(start, stop, grad, kept, h, kind, out):  # type: ignore[no-untyped-def]
    """Gradient of `activate_rows` with respect to `h`, [R, C] bfloat16."""
    width = h.shape[1]
    masked = np.empty(width, np.int16)
    for row in range(start, stop):
        values, target = h[row], out[row]
        copy_row(grad[row], width, kept[row], masked)
        if kind == 0:
            for i in range(width):
                x = from_bfloat16(values[i])
                share, slope = normal_parts(x)
                target[i] = to_bfloat16(from_bfloat16(masked[i]) * (share + x * slope))
        elif kind == 1:
            for i in range(width):
                x = from_bfloat16(values[i])
                share, slope = sigmoid_parts(x)
                target[i] = to_bfloat16(from_bfloat16(masked[i]) * (share + x * slope))
        else:
            for i in range(width):
                target[i] = masked[i] if values[i] > 0 else np.int16(0)


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def add_rows(start, stop, x, delta, k, out, kept):  # type: ignore[no-untyped-def]
    """The sum of `x` [R, C] float32 and AbsTopK of `delta` [R, C] bfloat16, written into `out` [R, C] float32."""
    width = x.shape[1]
    magnitude = np.full(kept.shape[1] * WORD, -1, np.int16)
    masked = np.empty(width, np.int16)
    for row in range(start, stop):
        keep_row(delta[row], width, k, magnitude, kept[row])
        copy_row(delta[row], width, kept[row], masked)
        values, target = x[row], out[row]
        for i in range(width):
            target[i] = values[i] + from_bfloat16(masked[i])


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def add_backward_rows(start, stop, grad, kept, out):  # type: ignore[no-untyped-def]
    """Gradient of `add_rows` with respect to `delta`, as bfloat16: `grad` [R, C] float32 where kept, else 0."""
    width = grad.shape[1]
    rounded = np.empty(width, np.int16)
    for row in range(start, stop):
        values = grad[row]
        for i in range(width):
            rounded[i] = to_bfloat16(values[i])
        copy_row(rounded, width, kept[row], out[row])
