"""Linear maps with a sparse weight, which is stored as compressed rows if that is faster than a dense product.

Shapes: N tokens, K inputs, O outputs, C either of the last two.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.kernels.abs_topk import as_rows
from sparsegpt2.kernels.dispatch import CpuKernels, cpu_kernels, over_rows, trial

FEWEST_TOKENS = 256
"""Smallest number of tokens at which compressing the weight can save more time than it costs."""
MULTIPLE = 16
"""The compressed product needs numbers of inputs and of outputs that are multiples of this."""
MOST_NONZERO = 0.3
"""Largest share of nonzero entries in a gradient at which it is faster to skip its zeros. AbsTopK at 1/4 leaves
0.25."""
BLOCK = 256
"""Number of rows over which gradients of the bias are added up. It is fixed, so that the sums do not depend on the
number of threads."""


@functools.cache
def highest_density() -> float:
    """The highest density at which the compressed product is used in training and pruning on this CPU.

    It depends only on the kind of CPU and is not measured, so that a run repeats bit for bit. Without AMX, Intel's
    matrix instructions, the compressed and the dense product take the same time at a density of about 0.17 (1024
    inputs) to 0.4 (256 inputs). With AMX, dense products are about seven times as fast.
    """
    return 0.02 if torch.cpu._is_amx_tile_supported() else 0.15


@dataclass(frozen=True)
class Compressed:
    """A matrix [O, K] as compressed rows (see `cpu/sparse.py`), which can be multiplied with activations on the CPU."""

    begins: Any
    columns: Any
    values: Any
    shape: tuple[int, int]

    @classmethod
    def of(cls, weight: Tensor, count: int, kernels: CpuKernels, dtype: torch.dtype = torch.bfloat16) -> Compressed:
        """Compress weight [O, K] float32, which has `count` nonzero entries.

        dtype: of the activations, bfloat16 or float32.
        """
        begins, columns, values = kernels.sparse.compress(weight.detach().numpy(), count, dtype == torch.bfloat16)
        return cls(begins, columns, values, (weight.shape[0], weight.shape[1]))

    def transposed(self, kernels: CpuKernels) -> Compressed:
        """The transposed matrix [K, O]."""
        begins, columns, values = kernels.sparse.transpose(self.begins, self.columns, self.values, self.shape[1])
        return Compressed(begins, columns, values, (self.shape[1], self.shape[0]))

    def times(self, x: Tensor, bias: Tensor | None, kernels: CpuKernels) -> Tensor:
        """x [..., K] times the transposed matrix, plus bias [O] if there is one: [..., O] of x's dtype."""
        x = x.detach().contiguous()
        out = x.new_empty(*x.shape[:-1], self.shape[0])
        extra = torch.empty(0) if bias is None else bias.detach().to(x.dtype).float()
        rows = x.numel() // x.shape[-1]
        over_rows(
            kernels.sparse.multiply, rows, numbers(x), self.begins, self.columns, self.values, extra.numpy(),
            numbers(out), grain=kernels.sparse.TOKENS,
        )  # fmt: skip
        return out


def numbers(x: Tensor) -> Any:
    """x [..., C], contiguous, as numpy [rows, C] in the same memory: float32, or the bits of bfloat16 as int16."""
    return x.detach().view(-1, x.shape[-1]).numpy() if x.dtype == torch.float32 else as_rows(x)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The linear map x @ weight.T + bias, for x [..., K], weight [O, K] and bias [O] or None: [..., O] in x's dtype.

    The weights are cast to x's dtype. Compressed rows can be used for bfloat16, and for float32 if the weights are not
    trained, as in pruning.
    """
    kernels = cpu_kernels(x, "sparse")
    if kernels is not None and weight.dtype == torch.float32:
        trains = torch.is_grad_enabled() and (weight.requires_grad or (bias is not None and bias.requires_grad))
        if x.dtype == torch.bfloat16 or (x.dtype == torch.float32 and not trains):
            result: Tensor = _Linear.apply(x, weight, bias, kernels)
            return result
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def compressed_if_faster(
    weight: Tensor, tokens: int, kernels: CpuKernels, dtype: torch.dtype = torch.bfloat16
) -> Compressed | None:
    """`weight` [O, K] as compressed rows if faster for `tokens` tokens, else None. dtype: of the activations."""
    if tokens < FEWEST_TOKENS or any(size % MULTIPLE or not size for size in weight.shape):
        return None
    weight = weight.contiguous()
    count = kernels.sparse.count_nonzero(weight.detach().numpy())
    return Compressed.of(weight, count, kernels, dtype) if count <= highest_density() * weight.numel() else None


@functools.cache
def skips_zeros() -> bool:
    """Whether `outer_sums` (cpu/sparse.py) can run on this CPU and is faster than the dense product.

    `outer_sums` needs the instructions avx512_bf16. On a CPU with AMX the dense product is faster.
    """
    from llvmlite.binding import get_host_cpu_features
    from numba import config

    if getattr(config, "CPU_NAME", None) or getattr(config, "CPU_FEATURES", None) is not None:
        return False  # numba compiles for another CPU, and LLVM would end the process if that CPU lacks the instruction
    return bool(get_host_cpu_features().get("avx512bf16")) and not torch.cpu._is_amx_tile_supported()


def _weight_gradient(gradient: Tensor, x: Tensor, kernels: CpuKernels) -> Tensor:
    """gradient.T @ x, for gradient [N, O] and x [N, K], both bfloat16: [O, K] float32."""
    sampled = gradient[:: max(1, len(gradient) // 64)]
    few = torch.count_nonzero(sampled) <= MOST_NONZERO * sampled.numel()
    if not (few and len(x) >= FEWEST_TOKENS and x.shape[1] % kernels.sparse.WIDE == 0 and skips_zeros()):
        return (gradient.T @ x).float()
    out = torch.empty(gradient.shape[1], x.shape[1])
    rows = as_rows(x.contiguous())
    over_rows(kernels.sparse.outer_sums, len(out), as_rows(gradient), rows, out.numpy(), grain=MULTIPLE)
    return out


@trial("sparse")
def _try_loops() -> None:
    size = FEWEST_TOKENS
    weight = torch.zeros(size, size, device="cpu", requires_grad=True)
    bias = torch.zeros(size, device="cpu", requires_grad=True)
    x = torch.zeros(size, size, dtype=torch.bfloat16, device="cpu", requires_grad=True)
    (linear(x, weight, bias) * 0).sum().backward()  # a gradient of zeros, so that the loop that skips zeros is tried
    linear(x.detach().float().requires_grad_(), weight.detach(), None).sum().backward()


class _Linear(torch.autograd.Function):
    """A linear map whose weight is cast to x's dtype, or compressed, once for the forward and the backward pass.

    Gradients of the bias are added up in float32.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, kernels: CpuKernels) -> Tensor:
        sparse = compressed_if_faster(weight, x.shape[:-1].numel(), kernels, x.dtype)
        if sparse is not None:
            out, low = sparse.times(x, bias, kernels), None
        else:
            low = weight.to(x.dtype)
            out = F.linear(x, low, None if bias is None else bias.to(x.dtype))
        ctx.save_for_backward(x, low)
        ctx.sparse, ctx.kernels = sparse, kernels
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, low = ctx.saved_tensors
        gradient, kernels = gradients[0].contiguous(), ctx.kernels
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = gradient @ low if low is not None else ctx.sparse.transposed(kernels).times(gradient, None, kernels)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient.flatten(0, -2), x.flatten(0, -2), kernels)
        if ctx.needs_input_grad[2]:
            rows = as_rows(gradient)
            sums = torch.zeros(-(-len(rows) // BLOCK), rows.shape[1])
            over_rows(kernels.sparse.column_sums, len(rows), rows, BLOCK, sums.numpy(), grain=BLOCK)
            of_bias = sums.sum(0)
        return of_x, of_weight, of_bias, None
