"""Scalar functions that LLVM vectorises inside the other loops: exp, and conversions between bfloat16 and float32."""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.simd import as_bits, as_float

FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}
"""What LLVM may assume about floats, and how it may reorder operations. It may not assume that numbers are finite,
because an overflow of the loss must remain visible."""


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def exponential(x):  # type: ignore[no-untyped-def]
    """exp of a float32 of at most 88, within 2 units in the last place. Below -87 the result is exp(-87)."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # max() would lose nan
    n = np.int32(x * np.float32(1.4426950408889634) + np.float32(127.5)) - np.int32(127)  # x / ln 2, rounded
    whole = np.float32(np.int32(n))
    r = x - whole * np.float32(0.693359375) + whole * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + np.float32(1)
    return p * as_float(np.int32(np.int32(n + np.int32(127)) << np.int32(23)))


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def from_bfloat16(bits):  # type: ignore[no-untyped-def]
    """int16 bits of a bfloat16 -> float32."""
    return as_float(np.int32(bits) << np.int32(16))


@njit(fastmath=FAST, error_model="numpy", nogil=True)
def to_bfloat16(value):  # type: ignore[no-untyped-def]
    """float32 -> int16 bits of the nearest bfloat16, ties to even."""
    bits = as_bits(np.float32(value))
    odd = np.int32(bits >> np.int32(16)) & np.int32(1)
    return np.int16(np.int32(np.int32(bits + np.int32(0x7FFF)) + odd) >> np.int32(16))
