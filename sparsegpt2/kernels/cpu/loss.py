"""Cross-entropy of a chunk of logits and its gradient in one pass over each row, compiled by numba at first use.

Shapes: n rows of a chunk, V vocabulary.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from sparsegpt2.kernels.cpu.math import FAST, exponential, from_bfloat16, to_bfloat16


@njit(fastmath=FAST, error_model="numpy", nogil=True, cache=True)
def loss_rows(start, stop, logits, bigram, tokens, targets, share, losses, of_bigram, backward):  # type: ignore[no-untyped-def]
    """Write the loss of each row in nats into `losses` [n] and, with `backward`, compute gradients.

    logits: [n, V] bfloat16. With `backward` they are overwritten by their gradient, `share` * (softmax - one-hot of the
    target), where `share` is the share of one row in the mean loss. bigram: [V, V] float32, or an array without rows if
    the model has none; row tokens[i] is added to logits[i] first. of_bigram: of the same shape as bigram; the gradient
    of the table is added to it. tokens: [n], sorted.

    Each thread gets a range of rows. A range is moved so that it begins at the first row of a token and ends at the
    last row of a token. So no two threads add to the same row of `of_bigram`.
    """
    vocabulary = logits.shape[1]
    full = np.empty(vocabulary, np.float32)
    share = np.float32(share)
    while 0 < start < logits.shape[0] and tokens[start] == tokens[start - 1]:
        start += 1
    while 0 < stop < logits.shape[0] and tokens[stop] == tokens[stop - 1]:
        stop += 1
    for row in range(start, stop):
        values, target = logits[row], targets[row]
        if bigram.shape[0] > 0:
            extra = bigram[tokens[row]]
            for i in range(vocabulary):
                full[i] = from_bfloat16(values[i]) + extra[i]
        else:
            for i in range(vocabulary):
                full[i] = from_bfloat16(values[i])
        highest = full[0]
        for i in range(vocabulary):
            highest = max(highest, full[i])
        aim = full[target]
        total = np.float32(0)
        for i in range(vocabulary):
            full[i] = exponential(full[i] - highest)
            total += full[i]
        losses[row] = np.log(total) + highest - aim
        if not backward:
            continue
        factor = share / total
        for i in range(vocabulary):
            full[i] *= factor
        full[target] -= share
        for i in range(vocabulary):
            values[i] = to_bfloat16(full[i])
        if of_bigram.shape[0] > 0:
            sums = of_bigram[tokens[row]]
            for i in range(vocabulary):
                sums[i] += full[i]
