"""RMSNorm, the nonlinearity and the residual sum, each in one pass together with the AbsTopK next to it.

The docstring of each function has the expression that it computes. Without a fast path, that expression is evaluated in
plain torch. The fast paths are for bfloat16 on the CPU. They never write the norm's float32 result or the input of
AbsTopK to RAM.

Shapes: D channels of the residual stream, M neurons, C either of them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.kernels.abs_topk import abs_topk, as_rows, kept_words
from sparsegpt2.kernels.dispatch import CpuKernels, cpu_kernels, over_rows, trial

ACTIVATIONS = ("gelu", "gelu_tanh", "relu")
BLOCK = 256
"""Number of rows over which gradients of the norm's weight are added up. It is fixed, so that the sums do not depend on
the number of threads."""


def norm_topk(x: Tensor, weight: Tensor, eps: float, keep: int | None, dtype: torch.dtype) -> Tensor:
    """abs_topk(rms_norm(x, weight, eps).to(dtype), keep), [..., D], for x [..., D] and weight [D], both float32.

    keep None: no AbsTopK.
    """
    kernels = _kernels(x, dtype)
    if kernels is None:
        normed = F.rms_norm(x, (x.shape[-1],), weight, eps).to(dtype)
        return normed if keep is None else abs_topk(normed, keep)
    result: Tensor = _NormTopK.apply(x, weight, eps, keep or x.shape[-1], kernels)
    return result


def activation_topk(h: Tensor, kind: str, keep: int | None) -> Tensor:
    """abs_topk(activation(h), keep), [..., M], for h [..., M]. kind: one of `ACTIVATIONS`. keep None: no AbsTopK."""
    kernels = _kernels(h, h.dtype)
    if kernels is None:
        active = F.relu(h) if kind == "relu" else F.gelu(h, approximate="tanh" if kind == "gelu_tanh" else "none")
        return active if keep is None else abs_topk(active, keep)
    result: Tensor = _ActivationTopK.apply(h, ACTIVATIONS.index(kind), keep or h.shape[-1], kernels)
    return result


def add_topk(x: Tensor, delta: Tensor, keep: int | None) -> Tensor:
    """x + abs_topk(delta, keep), [..., D] float32.

    x: [..., D] float32. delta: [..., D] in the dtype in which the model computes. keep None: no AbsTopK.
    """
    kernels = _kernels(x, delta.dtype)
    if kernels is None:
        return x + (delta if keep is None else abs_topk(delta, keep))
    result: Tensor = _AddTopK.apply(x, delta, keep or x.shape[-1], kernels)
    return result


def _kernels(x: Tensor, dtype: torch.dtype) -> CpuKernels | None:
    channels = x.shape[-1]  # 0 if pruning has ablated a whole site
    return cpu_kernels(x, "rows") if dtype == torch.bfloat16 and channels else None


@trial("rows")
def _try_loops() -> None:
    x = torch.ones(1, 32, device="cpu", requires_grad=True)
    low = torch.ones(1, 32, dtype=torch.bfloat16, device="cpu", requires_grad=True)
    weight = torch.ones(32, device="cpu", requires_grad=True)
    norm_topk(x, weight, 1e-5, 8, torch.bfloat16).sum().backward()
    activation_topk(low, "gelu", 8).sum().backward()
    add_topk(x, low, 8).sum().backward()


def _floats(x: Tensor) -> Any:
    """x [..., C] float32, contiguous, as a numpy array [rows, C] in the same memory."""
    return x.detach().view(-1, x.shape[-1]).numpy()


class _NormTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, k: int, kernels: CpuKernels) -> Tensor:
        x = x.contiguous()
        out, kept = torch.empty_like(x, dtype=torch.bfloat16), kept_words(x)
        scale = torch.empty(len(kept))
        arguments = (_floats(x), weight.detach().numpy(), eps, k, as_rows(out), kept.numpy(), scale.numpy())
        over_rows(kernels.rows.norm_rows, len(kept), *arguments)
        ctx.save_for_backward(x, weight, kept, scale)
        ctx.kernels = kernels
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, kept, scale = ctx.saved_tensors
        of_x, of_weight = torch.empty_like(x), torch.zeros(-(-len(kept) // BLOCK), len(weight))
        over_rows(
            ctx.kernels.rows.norm_backward_rows, len(kept), as_rows(gradients[0].contiguous()), kept.numpy(),
            _floats(x), weight.detach().numpy(), scale.numpy(), BLOCK, _floats(of_x), of_weight.numpy(), grain=BLOCK,
        )  # fmt: skip
        return of_x, of_weight.sum(0), None, None, None


class _ActivationTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Tensor, kind: int, k: int, kernels: CpuKernels) -> Tensor:
        h = h.contiguous()
        out, kept = torch.empty_like(h), kept_words(h)
        over_rows(kernels.rows.activate_rows, len(kept), as_rows(h), kind, k, as_rows(out), kept.numpy())
        ctx.save_for_backward(h, kept)
        ctx.kind, ctx.kernels = kind, kernels
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        h, kept = ctx.saved_tensors
        of_h = torch.empty_like(h)
        arguments = (as_rows(gradients[0].contiguous()), kept.numpy(), as_rows(h), ctx.kind, as_rows(of_h))
        over_rows(ctx.kernels.rows.activate_backward_rows, len(kept), *arguments)
        return of_h, None, None, None


class _AddTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, delta: Tensor, k: int, kernels: CpuKernels) -> Tensor:
        x, delta = x.contiguous(), delta.contiguous()
        out, kept = torch.empty_like(x), kept_words(x)
        over_rows(kernels.rows.add_rows, len(kept), _floats(x), as_rows(delta), k, _floats(out), kept.numpy())
        ctx.save_for_backward(kept)
        ctx.kernels = kernels
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (kept,) = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        of_delta = torch.empty_like(gradient, dtype=torch.bfloat16)
        over_rows(ctx.kernels.rows.add_backward_rows, len(kept), _floats(gradient), kept.numpy(), as_rows(of_delta))
        return gradients[0], of_delta, None, None
