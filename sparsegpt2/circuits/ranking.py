"""What a pruner hands on: every node of a model in the order in which a circuit would keep them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import join_nodes, split_nodes
from sparsegpt2.errors import UserError

Progress = Callable[[int, int, str], None]
"""Called as progress(done, total, what) while something long runs."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of all nodes: a circuit of k nodes keeps the k highest, ties by site order and lowest channel."""

    scores: dict[str, Tensor]
    """Site -> float32 [C], every node site, in forward order."""
    trained_size: int | None = None
    """How many nodes the pruner's own mask keeps (the first ones), if it has one; a candidate for the circuit."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per training step: plain values such as task_loss, kept, k_coef."""
    seconds: float = 0.0
    """Time the pruner took."""

    def __post_init__(self) -> None:
        for site, score in self.scores.items():
            if not bool(torch.isfinite(score).all()):
                raise UserError(f"the pruner's scores at {site} are not finite: the model or its task loss holds NaN")

    @property
    def sites(self) -> dict[str, int]:
        """Channels of each site."""
        return {site: len(score) for site, score in self.scores.items()}

    @property
    def n_nodes(self) -> int:
        """Nodes of the model."""
        return sum(self.sites.values())

    def ranks(self) -> dict[str, Tensor]:
        """Place of each node in the ranking, from 0: site -> int64 [C], on the CPU."""
        order = join_nodes(self.scores, self.sites).cpu().argsort(descending=True, stable=True)
        places = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return split_nodes(places, self.sites)

    def nodes(self, k: int) -> dict[str, Tensor]:
        """The circuit of the k first nodes: site -> bool [C], on the CPU."""
        return {site: places < k for site, places in self.ranks().items()}
