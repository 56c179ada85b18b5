"""The result of a pruner: nodes or edges in the order in which circuits keep them.

Shapes: C channels of a site, E ranked edges.
"""

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
    """A progress callback that also gets the numbers of every training step.

    It may end the training by raising an exception.
    """

    def __call__(self, done: int, total: int, what: str) -> None: ...

    def see(self, entry: Mapping[str, float], step: int, steps: int) -> None:
        """Called once for each step. step: from 1 to `steps`.

        entry: the numbers of the step: `task_loss` in nats, `kept` (number of open gates) and `k_coef` (penalty for
        each open gate, in nats).
        """


@dataclass(frozen=True, eq=False)
class Ranking:
    """The scores of all nodes. A circuit of k nodes keeps the k nodes with the highest scores.

    Of nodes with the same score, the one at the earlier site is kept first, and within a site the lower channel. A
    pruner that ranks edges gives scores of edges too, and then the size k of a circuit is a number of edges.
    """

    scores: dict[str, Tensor]
    """Site -> float32 [C], for every node site, in forward order."""
    edges: EdgeList | None = None
    """The ranked edges; None if nodes are ranked."""
    edge_scores: Tensor | None = None
    """float32 [E], on the CPU: a circuit of k edges keeps the k edges with the highest scores. Of edges with the same
    score, the one that is earlier in `edges` is kept first."""
    trained_size: int | None = None
    """Size k of the mask that the pruner trained, if it trained one. The mask keeps the first k of the ranking. With
    search=scan, k is one of the sizes that are tried for the circuit."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry for each training step, with plain values such as task_loss, kept and k_coef."""
    seconds: float = 0.0
    """Seconds that the pruner took."""

    def __repr__(self) -> str:
        what = f"{self.n_nodes:,} nodes" if self.edges is None else f"{len(self.edges):,} edges"
        trained = "" if self.trained_size is None else f", {self.trained_size:,} kept in training"
        return f"Ranking({what}{trained}; {len(self.history)} steps, {self.seconds:.1f} s)"

    def __post_init__(self) -> None:
        for site, score in self.scores.items():
            if not bool(torch.isfinite(score).all()):
                raise UserError(
                    f"the pruner's scores at {site} are not finite: the model or its task loss contains NaN"
                )

    @property
    def size(self) -> int:
        """The largest possible size k: the number of ranked edges, or of the model's nodes."""
        return self.n_nodes if self.edges is None else len(self.edges)

    def circuit(self, k: int) -> Circuit:
        """The circuit of size k. Some of its nodes may be on no path of kept edges from an input to the logits."""
        if self.edges is None or self.edge_scores is None:
            return Circuit(self.nodes(k))
        kept = torch.zeros(len(self.edges), dtype=torch.bool)
        kept[self.edge_scores.argsort(descending=True, stable=True)[:k]] = True
        return Circuit(self.edges.nodes, weights=self.edges.spread(kept))

    @property
    def sites(self) -> dict[str, int]:
        """Number of channels of each site."""
        return {site: len(score) for site, score in self.scores.items()}

    @property
    def n_nodes(self) -> int:
        """Number of nodes of the model."""
        return sum(self.sites.values())

    def ranks(self) -> dict[str, Tensor]:
        """Rank of each node: site -> int64 [C], on the CPU. The node that is kept first has rank 0."""
        order = join_nodes(self.scores, self.sites).cpu().argsort(descending=True, stable=True)
        places = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        return split_nodes(places, self.sites)

    def nodes(self, k: int) -> dict[str, Tensor]:
        """The first k nodes: site -> bool [C], on the CPU."""
        return {site: places < k for site, places in self.ranks().items()}
