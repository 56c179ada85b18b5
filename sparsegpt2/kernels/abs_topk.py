"""AbsTopK: keep the k entries of largest magnitude in each row (paper, section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor


def abs_topk(x: Tensor, k: int) -> Tensor:
    """x [..., C] with all but its k largest magnitudes along the last axis set to zero, ties kept by lowest index.

    Gradients pass through the kept entries.
    """
    return x * abs_topk_mask(x, k)


def abs_topk_mask(x: Tensor, k: int) -> Tensor:
    """Which entries of x [..., C] AbsTopK keeps: bool [..., C], exactly k true in each row."""
    order = x.detach().abs().sort(dim=-1, descending=True, stable=True).indices[..., :k]
    return torch.zeros(x.shape, dtype=torch.bool, device=x.device).scatter_(-1, order, True)
