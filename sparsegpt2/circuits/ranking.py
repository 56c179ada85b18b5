"""What a pruner hands on: nodes, or the edges of a circuit, in the order in which a smaller circuit would keep them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.edges import EdgeList
from sparsegpt2.circuits.gates import join_nodes, split_nodes
from sparsegpt2.errors import UserError


@runtime_checkable
class Watcher(Protocol):
    """A `Progress` that also sees every training step, and may end the training by raising an exception."""

    def __call__(self, done: int, total: int, what: str) -> None: ...

    def see(self, entry: Mapping[str, float], step: int, steps: int) -> None:
        """entry: task_loss in nats, kept gates, k_coef of the step, the first being 1 of `steps`."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of all nodes: a circuit of k nodes keeps the k highest, ties by site order and lowest channel.

    A pruner of edges gives the scores of its edges too, and then a circuit's size k is a number of edges.
    """

    scores: dict[str, Tensor]
    """Site -> float32 [C], every node site, in forward order."""
    edges: EdgeList | None = None
    """The edges that are ranked, by a pruner of edges."""
    edge_scores: Tensor | None = None
    """float32 [E], on the CPU: a circuit of k edges keeps the k highest, ties by the order of `edges`."""
    trained_size: int | None = None
    """Size k of the pruner's own mask (the first ones), if it has one; a candidate for the circuit."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry per training step: plain values such as task_loss, kept, k_coef."""
    seconds: float = 0.0
    """Time the pruner took."""

    def __repr__(self) -> str:
        what = f"{self.n_nodes:,} nodes" if self.edges is None else f"{len(self.edges):,} edges"
        trained = "" if self.trained_size is None else f", {self.trained_size:,} kept in training"
        return f"Ranking({what}{trained}; {len(self.history)} steps, {self.seconds:.1f} s)"

    def __post_init__(self) -> None:
        for site, score in self.scores.items():
            if not bool(torch.isfinite(score).all()):
                raise UserError(f"the pruner's scores at {site} are not finite: the model or its task loss holds NaN")

    @property
    def size(self) -> int:
        """The largest size k: the edges that are ranked, or the nodes of the model."""
        return self.n_nodes if self.edges is None else len(self.edges)

    def circuit(self, k: int) -> Circuit:
        """The circuit of size k; some of its nodes may dangle."""
        if self.edges is None or self.edge_scores is None:
            return Circuit(self.nodes(k))
        kept = torch.zeros(len(self.edges), dtype=torch.bool)
        kept[self.edge_scores.argsort(descending=True, stable=True)[:k]] = True
        return Circuit(self.edges.nodes, weights=self.edges.spread(kept))

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
