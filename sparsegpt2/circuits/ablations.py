"""Ablations: which value a node outside a circuit gets instead of its own, and what a removed edge carries.

- mean: the node's mean over pretraining text (`mean_ablation`); zero: 0 (`zero_ablation`);
- resample: the node's value at the same position of a random window of text (`Resample`; Chan et al. 2022).

An ablation does not say which nodes are ablated: that is a mask, given to `Ablated.under`. Partial, random and
adversarial ablations are therefore just other masks, and a mask may hold float gates with gradients. A new ablation is
a new class with the methods of `Ablation`. `over` is called once for a set of masks. The function it returns is called
once for each piece of a batch, with its prompts, so it can run the model on other text (resampling, the pair's other
prompt) or on the same text (to record norm scales and reuse them).

Shapes: B rows of a piece, T positions, C channels of a site, R masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import MeanAblation, frozen
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Chain, Record, Site, node_sites

Masks = Mapping[str, Tensor]
"""Site -> [C] or [R, C], bool or float: 1 keeps a node; or parameter name -> mask over the weights."""


@dataclass(frozen=True)
class Piece:
    """Rows of a batch that go through the model together."""

    batch: TaskBatch
    rows: Tensor
    """[B] int64: which rows of the whole batch they are."""
    owner: Tensor | None = None
    """[B] int64: the mask that each row uses; None: one mask for all rows, or R groups of rows, one group per mask."""


Sites = Callable[[Piece], Site]


class Ablation(Protocol):
    """What replaces the ablated nodes and the removed edges."""

    @property
    def everywhere(self) -> bool:
        """Whether the last layer must be computed at all positions, although the answer's logits need only one."""
        ...

    def edge_values(self) -> Masks:
        """Site -> [C]: what a removed edge carries in place of its source. Constant, since it is folded into a bias."""
        ...

    def over(self, kept: Masks) -> Sites:
        """A function from a piece of a batch to the site object that ablates the nodes outside `kept`."""
        ...


@dataclass(frozen=True, eq=False)
class Constant:
    """Every ablated node takes a constant: its mean, or 0."""

    values: dict[str, Tensor]
    """Site -> [C]."""
    everywhere = False

    def edge_values(self) -> Masks:
        return self.values

    def over(self, kept: Masks) -> Sites:
        """One site object for all pieces, so that its terms are computed from the masks only once."""
        ablation = MeanAblation(kept, self.values)
        return lambda piece: ablation if piece.owner is None else ablation.on_rows(piece.owner)


def mean_ablation(model: GPT) -> Constant:
    """Ablated nodes take their means; `UserError` if the model's means are incomplete or not finite."""
    return Constant(means_of(model))


def zero_ablation(model: GPT) -> Constant:
    """Ablated nodes are 0."""
    device = model.wte.weight.device
    return Constant({site: torch.zeros(width, device=device) for site, width in node_sites(model.config).items()})


class Resample:
    """Ablated nodes take their values at the same position of a random window of text, one window per row of the batch.

    All nodes of a row use the same window. A removed edge carries its source's value at one random token, drawn when
    this object is made. text: [N, T] int64, on the model's device. Windows are drawn from `generator`, piece by
    piece, so the same generator state gives the same losses.
    """

    everywhere = True

    def __init__(self, model: GPT, text: Tensor, generator: torch.Generator) -> None:
        self.model, self.text, self.generator = model, text, generator
        window, place = (int(torch.randint(size, (1,), generator=generator)) for size in text.shape)
        at_token = self._record(text[window : window + 1, : place + 1])
        self._token = {site: value[0, -1] for site, value in at_token.items()}

    def edge_values(self) -> Masks:
        """The values at the one random token."""
        return self._token

    def over(self, kept: Masks) -> Sites:
        """A function that, for each piece, draws a window for every row and records the values to put in."""

        def site(piece: Piece) -> Site:
            windows = torch.randint(len(self.text), (len(piece.batch),), generator=self.generator)
            length = min(self.text.shape[1], piece.batch.longest)
            return Replaced(kept, self._record(self.text[windows.to(self.text.device), :length]), piece.owner)

        return site

    @torch.no_grad()
    def _record(self, tokens: Tensor) -> dict[str, Tensor]:
        record = Record(node_sites(self.model.config))
        with frozen(self.model, torch.float32):
            self.model(tokens, site=record)
        return record.values


class Replaced:
    """A site object: m * x + (1 - m) * value, where value is [B, T, C] and m is a mask as in `Masks`."""

    def __init__(self, kept: Masks, values: Masks, owner: Tensor | None = None) -> None:
        self.kept, self.values, self.owner = kept, values, owner

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.kept:
            return x
        mask, value = self.kept[name].to(x.device), self.values[name][:, : x.shape[1]]
        if self.owner is not None and mask.ndim > 1:
            mask = mask[self.owner][:, None]  # [B, 1, C]
        if mask.dtype == torch.bool:
            return torch.where(mask, x, value.to(x.dtype))
        return (mask * x + (1 - mask) * value).to(x.dtype)


@dataclass(frozen=True)
class Behind:
    """An ablation with a site object before it: `first` sees each value, and may change it, before `ablation` does."""

    first: Site
    ablation: Ablation
    everywhere = True

    def edge_values(self) -> Masks:
        return self.ablation.edge_values()

    def over(self, kept: Masks) -> Sites:
        sites = self.ablation.over(kept)
        return lambda piece: Chain(self.first, sites(piece))
