"""AbsTopK: keep the k entries of largest magnitude in each row (paper, section 2.1).

Shapes: C channels. All axes before the last one together are the rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsegpt2.errors import UserError
from sparsegpt2.kernels.dispatch import cpu_kernels, gpu_kernels, over_rows, trial

ROW_INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}
"""The dtypes with a fast path on the CPU, and for each the integers of the same size."""


def abs_topk(x: Tensor, k: int) -> Tensor:
    """x [..., C] with all entries set to zero, except the k of largest magnitude along the last axis.

    Of equal magnitudes the lowest index is kept; NaN counts as larger than every number. Gradients pass through the
    kept entries. Any floating-point dtype; float64 has no fast path. k: 1 or more; with C or more all entries are kept.
    """
    if k < 1:
        raise UserError(f"AbsTopK must keep at least 1 entry of each row, got k = {k}")
    if k >= x.shape[-1]:
        return x
    result: Tensor = _AbsTopK.apply(x, k)
    return result


class _AbsTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        fast = x.dtype in ROW_INTEGERS
        kernels, gpu = (cpu_kernels(x, "topk"), gpu_kernels(x)) if fast else (None, None)
        if gpu is not None:
            out, kept = gpu.select_rows(x, k)
        elif kernels is None:
            kept = abs_topk_mask(x, k)
            out = torch.where(kept, x, 0.0)  # a product would turn inf * 0 into NaN
        else:
            x = x.contiguous()
            out, kept = torch.empty_like(x), kept_words(x)
            over_rows(kernels.topk.select_rows, len(kept), as_rows(x), k, as_rows(out), kept.numpy())
        ctx.save_for_backward(kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        if kept.dtype == torch.int8:
            gpu = gpu_kernels(kept)
            return (
                torch.where(kept.bool(), gradients[0], 0.0) if gpu is None else gpu.mask_entries(gradients[0], kept)
            ), None
        kernels = cpu_kernels(gradients[0], "topk") if kept.dtype == torch.uint32 else None
        if kernels is None:
            return torch.where(kept, gradients[0], 0.0), None
        gradient = gradients[0].contiguous()
        masked = torch.empty_like(gradient)
        over_rows(kernels.topk.mask_rows, len(kept), as_rows(gradient), kept.numpy(), as_rows(masked))
        return masked, None


@trial("topk")
def _try_loops() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.ones(1, 32, dtype=dtype, device="cpu", requires_grad=True)
        abs_topk(x, 8).sum().backward()


def as_rows(x: Tensor) -> Any:
    """x [..., C], contiguous on the CPU -> numpy [rows, C] in the same memory: the floats' bits, as integers."""
    return x.detach().view(-1, x.shape[-1]).view(ROW_INTEGERS[x.dtype]).numpy()


def kept_words(x: Tensor) -> Tensor:
    """An uninitialised tensor with one bit for each entry of x [..., C]: uint32 [rows, ceil(C / 32)]."""
    return torch.empty(x.numel() // x.shape[-1], -(-x.shape[-1] // 32), dtype=torch.uint32)


def abs_topk_mask(x: Tensor, k: int) -> Tensor:
    """The definition of AbsTopK: which entries of x are kept, as bool [..., C] with k true entries in each row."""
    order = x.detach().abs().sort(dim=-1, descending=True, stable=True).indices[..., :k]
    return torch.zeros(x.shape, dtype=torch.bool, device=x.device).scatter_(-1, order, True)
