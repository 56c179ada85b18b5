"""Inference with a sparse weight: a product with compressed rows, if a measurement shows that it is faster.

Shapes: N tokens, K inputs, O outputs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.kernels.dispatch import cpu_kernels
from sparsegpt2.kernels.linear import MULTIPLE, Compressed

MOST_DENSITY = 0.5
"""Above this density the dense product is used, and nothing is measured."""
ROUNDS = 5
"""How many times each product is timed; the fastest time counts."""


class Product:
    """The product with a sparse weight, x @ weight.T + bias, [..., O], for x [..., K] of one dtype; no gradients."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        self.dtype, self.outputs = dtype, len(weight)
        kernels = cpu_kernels(weight, "sparse")
        fits = dtype in (torch.bfloat16, torch.float32) and not any(size % MULTIPLE for size in weight.shape)
        if kernels is not None and fits:
            rows = Compressed.of(weight.contiguous(), int(weight.count_nonzero()), kernels, dtype)
            self._multiply: Callable[[Tensor, Tensor | None], Tensor] = lambda x, bias: rows.times(x, bias, kernels)
        else:
            self._rows = weight.detach().to(dtype).to_sparse_csr()
            self._multiply = self._by_torch

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        return self._multiply(x, bias)

    def _by_torch(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """The product with torch's own sparse matrices, which uses cuSPARSE on a GPU."""
        out = (self._rows @ x.flatten(0, -2).T).T.unflatten(0, x.shape[:-1])
        return out if bias is None else out + bias.to(out.dtype)


@torch.no_grad()
def faster_product(weight: Tensor, dtype: torch.dtype, tokens: int) -> Product | None:
    """The sparse product with weight [O, K] if it is faster than the dense one on `tokens` random tokens, else None."""
    if weight.count_nonzero() > MOST_DENSITY * weight.numel():
        return None
    low, x = weight.to(dtype), torch.randn(tokens, weight.shape[1], device=weight.device).to(dtype)
    product = Product(weight, dtype)
    return product if _seconds(lambda: product(x, None), x) < _seconds(lambda: F.linear(x, low), x) else None


def _seconds(function: Callable[[], Any], x: Tensor) -> float:
    """The time in seconds of the fastest of `ROUNDS` calls, after one call to warm up."""
    fastest = float("inf")
    for call in range(ROUNDS + 1):
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        started = time.perf_counter()
        function()
        if x.is_cuda:
            torch.cuda.synchronize(x.device)
        fastest = min(fastest, time.perf_counter() - started) if call else fastest
    return fastest
