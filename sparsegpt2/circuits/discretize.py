"""Choose how many of the ranked nodes or edges a circuit keeps.

Circuits of several sizes are scored, and the one with the fewest nodes (or edges) among those that meet a target loss
is chosen. All sizes are scored on one fixed batch of validation pairs, in float32. Shapes: R circuits scored in one
forward pass, C channels of a site.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.edges import edges_by_size
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

VALIDATION_SEED = 0
"""Seed of the validation pairs. It never changes, so all pruners, seeds, sizes and targets use the same pairs."""


class LossCurve:
    """The task loss of circuits made from one ranking, as a function of their size k. Each size is scored only once.

    k is a number of nodes or, if the pruner ranks edges, a number of edges.
    """

    def __init__(
        self, model: GPT, task: Task, ranking: Ranking, config: PruneConfig, progress: Progress | None = None
    ) -> None:
        self.model, self.task, self.ranking, self.config, self.progress = model, task, ranking, config, progress
        self.batch = task_batch(model, task, "validation", config.validation_pairs, VALIDATION_SEED)
        self.counts: dict[int, tuple[int, int]] = {}
        """k -> (nodes, edges) of the circuit, for the sizes scored so far."""
        self.losses: dict[int, float] = {}
        """k -> loss in nats, for the sizes scored so far."""

    def __repr__(self) -> str:
        return f"LossCurve({self.task.name}: {len(self.losses)} of the sizes 0 to {self.ranking.size:,} scored)"

    @property
    def first_with_edges(self) -> int:
        """The smallest size at which the circuit has an edge; 1 if edges are ranked, or if the model has no edges."""
        if self.ranking.edges is not None:
            return 1
        edges = edges_by_size(self.model, self.ranking.ranks()).tolist()
        return next((k for k, number in enumerate(edges) if number), 1)

    def circuit(self, k: int) -> Circuit:
        """The circuit of size k, as it is scored.

        If the pruner ranks edges, or if `trim` is on, nodes on no path of kept edges from an input to the logits are
        left out.
        """
        circuit = self.ranking.circuit(k)
        return circuit if circuit.weights is None and self.config.trim == "none" else circuit.trimmed(self.model)

    @torch.no_grad()
    def loss_of(self, circuit: Circuit) -> float:
        """Task loss of any circuit on the curve's validation pairs, in nats."""
        return float(Ablated(self.model, circuit).losses(self.batch).double().mean())

    def loss(self, k: int) -> float:
        """Validation loss of the circuit of size k."""
        return self.score([k])[0]

    def score(self, sizes: Sequence[int]) -> list[float]:
        """Validation losses of several sizes in nats; new sizes share forward passes of up to `score_rows` rows."""
        unknown = sorted(set(sizes) - set(self.losses))
        at_once = max(1, self.config.score_rows // len(self.batch))
        for start in range(0, len(unknown), at_once):
            group = unknown[start : start + at_once]
            self.losses.update(zip(group, self._losses(group), strict=True))
            if self.progress is not None:
                self.progress(start + len(group), len(unknown), f"scoring circuits of size {group[0]} and up")
        return [self.losses[k] for k in sizes]

    def _losses(self, sizes: list[int]) -> list[float]:
        circuits = [self.circuit(k) for k in sizes]
        self.counts.update({k: (one.n_nodes, one.edges(self.model)) for k, one in zip(sizes, circuits, strict=True)})
        if any(one.weights is not None for one in circuits):  # different weights cannot share a forward pass
            losses = [self.loss_of(one) for one in circuits]
        else:
            losses = self._losses_of_masks([one.nodes for one in circuits])
        if not all(map(math.isfinite, losses)):
            raise UserError(
                f"the loss on task {self.task.name} is not finite: the model's weights or node means contain NaN"
            )
        return losses

    @torch.no_grad()
    def _losses_of_masks(self, kept: list[dict[str, Tensor]]) -> list[float]:
        """Losses of several circuits, scored together. Nodes that none of them keeps are not computed.

        kept: the kept nodes of each circuit, site -> bool [C].
        """
        masks = {site: torch.stack([nodes[site] for nodes in kept]) for site in kept[0]}  # [R, C]
        live = {site: mask.any(dim=0) for site, mask in masks.items()}
        batch, device = TaskBatch.join([self.batch] * len(kept)), self.batch.tokens.device
        owner = torch.arange(len(kept), device=device).repeat_interleave(len(self.batch))
        rows = Ablated(self.model, masks, live=live).under(masks, owner=owner).losses(batch, self.config.score_rows)
        return rows.double().view(len(kept), -1).mean(dim=1).tolist()  # type: ignore[no-any-return]

    def points(self) -> list[list[float]]:
        """The curve so far: [nodes, edges, loss in nats], in order of size k."""
        return [[*self.counts[k], self.losses[k]] for k in sorted(self.losses)]


def smallest_size(curve: LossCurve, target: float, search: str) -> int | None:
    """The size that `search` (scan or bisect) chooses for a target loss; None if no size that was tried meets it."""
    return scan(curve, target) if search == "scan" else bisect(curve, target)


def scan(curve: LossCurve, target: float) -> int | None:
    """The smallest size that meets the target on a geometric grid of sizes, which is then refined below that size.

    The loss can rise when nodes are added, so the whole grid is scored. The grid includes the size of the mask that the
    pruner trained. That mask may narrowly miss the target on fresh pairs, so sizes slightly above it are included too.
    Much larger circuits may miss the target as well, because the pruner trained no mask of their size. Sizes at which
    the circuit has no edge are left out.
    """
    total, trained = curve.ranking.size, curve.ranking.trained_size or 0
    first = min(curve.first_with_edges, total)
    near = {min(total, max(first, round(trained * share))) for share in NEAR_TRAINED}
    grid = sorted({*geometric_grid(first, total, curve.config.grid_ratio), *near})
    best: int | None = None
    while True:
        losses = curve.score(grid)
        met = [k for k, loss in zip(grid, losses, strict=True) if loss <= target]
        if not met:
            return best
        below = [k for k in grid if k < met[0]]
        best, lowest = met[0], below[-1] if below else met[0]
        if best - lowest <= 1 or best / lowest <= curve.config.grid_precision:
            return best
        ratio = max(curve.config.grid_precision, (best / lowest) ** (1 / REFINEMENT))
        grid = geometric_grid(lowest, best, ratio)


NEAR_TRAINED = (1.0, 1.03, 1.07, 1.15, 1.3, 1.6)
"""Sizes that the scan adds to its grid, as multiples of the size of the trained mask."""
REFINEMENT = 4
"""Number of parts into which each refinement divides the gap below the smallest size that meets the target."""


def geometric_grid(first: int, last: int, ratio: float) -> list[int]:
    """Increasing whole numbers from `first` to `last`, with both ends included.

    Each number is at most `ratio` times the one before it, or larger by 1 if that is more.
    """
    grid, value = [first], float(first)
    while grid[-1] < last:
        value = max(value * ratio, grid[-1] + 1)
        grid.append(min(last, math.floor(value)))
    return grid


def bisect(curve: LossCurve, target: float) -> int | None:
    """The paper's search: bisection over all sizes. It assumes that the loss falls with every node that is added."""
    low, high = 0, curve.ranking.size
    if curve.loss(high) > target:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if curve.loss(middle) <= target:
            high = middle
        else:
            low = middle
    return high
