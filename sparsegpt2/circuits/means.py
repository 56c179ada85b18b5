"""The mean of every node over pretraining text, to which ablated nodes are set (paper, appendix A.5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites


class _Sums:
    """A site object that sums the values of every node over rows and positions, in float64."""

    def __init__(self, sites: dict[str, int], device: torch.device) -> None:
        self.sums = {site: torch.zeros(width, dtype=torch.float64, device=device) for site, width in sites.items()}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name in self.sums:
            self.sums[name] += x.sum(dim=(0, 1), dtype=torch.float64)
        return x


@torch.no_grad()
def node_means(
    model: GPT, tokens: Tensor, *, batch_size: int = 64, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Tensor]:
    """Mean of each node over all positions of `tokens`. Returns site -> [C] float32 (C channels of the site).

    tokens: [N, T] int64, N rows of T tokens. The activations are taken where the forward calls its sites: after
    AbsTopK, and in the model's `compute_dtype`. They are summed in float64. `UserError` if there are no tokens, or if
    activations are not finite.
    """
    require(tokens.ndim == 2 and tokens.numel() > 0, f"node means need tokens [N, T], got shape {list(tokens.shape)}")
    device = model.wte.weight.device
    collect = _Sums(node_sites(model.config), device)
    for start in range(0, len(tokens), batch_size):
        batch = tokens[start : start + batch_size].to(device)
        # Only the nodes matter here. Asking for logits at a single position skips most of the unembedding.
        model(batch, site=collect, position=torch.zeros(len(batch), dtype=torch.int64, device=device))
        if progress is not None:
            progress(min(start + batch_size, len(tokens)), len(tokens), "node means")
    means = {site: (total / tokens.numel()).float() for site, total in collect.sums.items()}
    _require_finite(means, "activations of the model")
    return means


def means_of(model: GPT) -> dict[str, Tensor]:
    """`model.means` if they are complete and finite, else a `UserError` that says how to compute them."""
    if model.means is None:
        raise UserError(
            "the model has no node means, which circuits need: "
            "set model.means = sparsegpt2.circuits.node_means(model, tokens) on pretraining text and save it again"
        )
    for site, width in node_sites(model.config).items():
        mean = model.means.get(site)
        if mean is None or mean.shape != (width,):
            raise UserError(f"the model's node means lack site {site} with {width} channels: recompute them")
    _require_finite(model.means, "node means of the model")
    return model.means


def _require_finite(means: dict[str, Tensor], what: str) -> None:
    if not means or bool(torch.isfinite(torch.cat([mean.flatten() for mean in means.values()])).all()):
        return  # one check for all sites, since on a GPU each check waits for the device
    for site, mean in means.items():
        if not bool(torch.isfinite(mean).all()):
            raise UserError(f"the {what} at {site} are not finite (NaN or infinity): the model cannot be pruned")
