"""Mean ablation at node sites, and the gates that learn which nodes to ablate (paper, appendix A.5).

tau is the trained parameter of a gate (docs/definitions.md, Tau). Shapes: R masks, B rows of a batch, T positions, C
channels of a site, N nodes of a model (all channels of all sites).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.model.gpt import GPT


class MeanAblation:
    """A site object: every channel x of a node site becomes m * x + (1 - m) * mean, at every position.

    kept: site -> m, bool or float, [C], or [R, C] for R masks at once. means: site -> [C]. rows: [B] int64, the index
    of the mask that each row of the batch uses. With R masks and no `rows`, the batch must consist of R groups of rows,
    one after the other. The first group uses the first mask, and so on. x is [B, T, C]. Activations at sites without a
    mask are not changed.

    The forward calls site objects after AbsTopK. Where m = 1, x is unchanged bit for bit.
    """

    def __init__(self, kept: Mapping[str, Tensor], means: Mapping[str, Tensor], rows: Tensor | None = None) -> None:
        self.kept, self.means, self.rows = kept, means, rows
        self._terms: dict[str, tuple[Tensor, Tensor]] = {}  # (m, (1 - m) * mean) by site, in the dtype of x

    def on_rows(self, rows: Tensor) -> MeanAblation:
        """The same masks for another batch, whose row i uses mask rows[i]. Terms computed already are shared."""
        other = copy(self)
        other.rows = rows
        return other

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.kept:
            return x
        mask, rest = self._terms_at(name, x)
        if mask.ndim == 1:
            return torch.addcmul(rest, x, mask)
        if self.rows is None:
            runs = x.unflatten(0, (len(mask), -1))  # [R, B / R, T, C]
            return torch.addcmul(rest[:, None, None], runs, mask[:, None, None]).flatten(0, 1)
        if len(mask) == 1:
            return torch.addcmul(rest, x, mask)
        # embedding, not indexing: its gradient is summed in the same order every time, even on a GPU
        rest, mask = (F.embedding(self.rows, values)[:, None] for values in (rest, mask))  # [B, 1, C]
        return torch.addcmul(rest, x, mask)

    def _terms_at(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        terms = self._terms.get(name)
        if terms is None or terms[0].dtype != x.dtype:
            kept = self.kept[name].to(x.device, torch.float32)
            terms = self._terms[name] = kept.to(x.dtype), ((1 - kept) * self.means[name]).to(x.dtype)
        return terms


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tau: Tensor, temperature: float) -> Tensor:
        context.save_for_backward(tau)
        context.temperature = temperature
        return (tau >= 0).to(tau.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (tau,) = context.saved_tensors
        sigmoid = torch.sigmoid(tau / context.temperature)
        return gradients[0] * sigmoid * (1 - sigmoid) / context.temperature, None


def gate(tau: Tensor, temperature: float) -> Tensor:
    """Heaviside step of tau: 1 where tau >= 0, else 0. Its gradient is the derivative of sigmoid(tau / temperature)."""
    return _Gate.apply(tau, temperature)  # type: ignore[no-any-return]


def split_nodes(flat: Tensor, sites: Mapping[str, int]) -> dict[str, Tensor]:
    """Split [..., N] in site order into site -> [..., C]. sites: as returned by `model.sites.node_sites`."""
    return dict(zip(sites, flat.split(list(sites.values()), dim=-1), strict=True))


def join_nodes(by_site: Mapping[str, Tensor], sites: Mapping[str, int]) -> Tensor:
    """The inverse of `split_nodes`: site -> [..., C] to [..., N]."""
    return torch.cat([by_site[site] for site in sites], dim=-1)


@contextmanager
def frozen(model: GPT, dtype: torch.dtype) -> Iterator[None]:
    """Inside the block, `model` computes in `dtype`, and its weights get no gradients. Both are restored after it."""
    if model.compute_dtype == dtype and not any(parameter.requires_grad for parameter in model.parameters()):
        yield  # nothing to change, as is usual inside a loop of steps
        return
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    compute_dtype = model.compute_dtype
    try:
        model.requires_grad_(False)
        model.compute_dtype = dtype
        yield
    finally:
        model.compute_dtype = compute_dtype
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(wanted[name])
