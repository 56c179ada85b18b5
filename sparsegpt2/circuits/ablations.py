"""Ablations: the values that nodes outside a circuit are set to, and the values that removed edges carry.

- mean: the node's mean over pretraining text (`mean_ablation`)
- zero: 0 (`zero_ablation`)
- resample: the node's value at the same position of a random window of text (`Resample`; Chan et al. 2022, "Causal
  scrubbing")

An ablation does not decide which nodes are ablated. Masks over nodes decide that. They are given to
`circuits.ablated.Ablated`, together with an ablation. So ablating a random or an adversarially chosen part of the nodes
needs other masks, but no new ablation. A mask may hold float gates with gradients.

A new ablation is a class with the members of `Ablation`. Its method `over` is called once for a set of masks and
returns a function. That function is called once for each piece of a batch, which is the rows of one forward pass, and
gets the prompts of the piece. So it can run the model on other text (to resample, or to use the other prompt of a pair)
or on the same prompts (to record norm scales and reuse them).

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
"""Site -> mask over the site's nodes, [C], or [R, C] for R masks. A mask is bool or float, and 1 keeps a node. The type
also stands for masks over weights (parameter name -> mask of the parameter's shape) and for values of nodes (site ->
[C])."""


@dataclass(frozen=True)
class Piece:
    """The rows of a batch that go through the model in one forward pass."""

    batch: TaskBatch
    rows: Tensor
    """[B] int64: the indices of these rows in the whole batch."""
    owner: Tensor | None = None
    """[B] int64: index of the mask that each row uses. None if there is only one mask, or if every row is run under
    each of R masks; then the rows in the forward pass are R groups, one for each mask."""


Sites = Callable[[Piece], Site]
"""A function that makes the site object (docs/definitions.md, Site) for a piece of a batch."""


class Ablation(Protocol):
    """What replaces the ablated nodes and the removed edges."""

    @property
    def everywhere(self) -> bool:
        """Whether the last layer must be computed at all positions, and not only where the answer is predicted."""
        ...

    def edge_values(self) -> Masks:
        """Site -> [C]: what a removed edge carries instead of the value of its source node.

        It must be constant, because it is folded into a bias.
        """
        ...

    def over(self, kept: Masks) -> Sites:
        """Return a function that makes the site object for a piece of a batch.

        The site object ablates the nodes outside `kept`.
        """
        ...


@dataclass(frozen=True, eq=False)
class Constant:
    """Every ablated node has a constant value, such as its mean or 0."""

    values: dict[str, Tensor]
    """Site -> [C]: the value of each node when it is ablated."""
    everywhere = False

    def edge_values(self) -> Masks:
        return self.values

    def over(self, kept: Masks) -> Sites:
        """As in `Ablation`. All pieces share one site object, so its terms are computed from the masks only once."""
        ablation = MeanAblation(kept, self.values)
        return lambda piece: ablation if piece.owner is None else ablation.on_rows(piece.owner)


def mean_ablation(model: GPT) -> Constant:
    """An ablation that sets nodes to their means; `UserError` if the model's means are incomplete or not finite."""
    return Constant(means_of(model))


def zero_ablation(model: GPT) -> Constant:
    """An ablation that sets nodes to 0."""
    device = model.wte.weight.device
    return Constant({site: torch.zeros(width, device=device) for site, width in node_sites(model.config).items()})


class Resample:
    """A window of text is drawn for each row. An ablated node takes its value at the same position of that window.

    All nodes of a row use the same window. A removed edge carries the value of its source node at one random token of
    the text, which is drawn when this object is made. text: [N, T] int64, N windows of T tokens, on the model's device.
    The windows are drawn from `generator`, piece by piece, so the same state of the generator gives the same losses.
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
        """Return a function that draws a window for each row of a piece and records the values of all nodes in it."""

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
    """A site object that returns m * x + (1 - m) * value at each site with a mask.

    m is the site's mask in `kept`, and value is the site's entry in `values`, [B, T, C]. owner: as in `Piece`.
    """

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
    """An ablation that runs after another site object.

    `first` gets each activation before the ablation does, and may change it.
    """

    first: Site
    ablation: Ablation
    everywhere = True

    def edge_values(self) -> Masks:
        return self.ablation.edge_values()

    def over(self, kept: Masks) -> Sites:
        sites = self.ablation.over(kept)
        return lambda piece: Chain(self.first, sites(piece))
