"""AbsTopK: keep the k entries of largest magnitude in each row (paper, section 2.1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsegpt2.kernels.dispatch import cpu_loops


def abs_topk(x: Tensor, k: int) -> Tensor:
    """x [..., C] with all but its k largest magnitudes along the last axis set to zero, ties kept by lowest index.

    Gradients pass through the kept entries. float32, bfloat16 or float16; k from 1 to C.
    """
    if k >= x.shape[-1]:
        return x
    result: Tensor = _AbsTopK.apply(x, k)
    return result


class _AbsTopK(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        out, kept = select(x, k)
        ctx.save_for_backward(kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return gradients[0] * kept, None


def select(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(x with only the kept entries, bool mask of them), both [..., C]; the fast path where there is one."""
    loops = cpu_loops(x)
    if loops is None:
        kept = abs_topk_mask(x, k)
        return x * kept, kept
    x = x.contiguous()
    integer, mask = (torch.int32, 0x7FFFFFFF) if x.element_size() == 4 else (torch.int16, 0x7FFF)
    out = torch.empty_like(x)
    kept = torch.empty(x.shape, dtype=torch.bool, device=x.device)
    flat = (-1, x.shape[-1])
    loops.select_rows(
        x.detach().view(integer).view(flat).numpy(),
        mask,
        k,
        out.view(integer).view(flat).numpy(),
        kept.view(torch.uint8).view(flat).numpy(),
    )
    return out, kept


def abs_topk_mask(x: Tensor, k: int) -> Tensor:
    """The definition: which entries of x [..., C] AbsTopK keeps, exactly k true in each row."""
    order = x.detach().abs().sort(dim=-1, descending=True, stable=True).indices[..., :k]
    return torch.zeros(x.shape, dtype=torch.bool, device=x.device).scatter_(-1, order, True)
