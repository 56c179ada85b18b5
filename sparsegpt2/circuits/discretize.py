"""From a ranking to a circuit: the loss-against-size curve, and the smallest size that meets a target loss.

All sizes are scored on one fixed batch of validation pairs, in float32. Shapes: B rows, R sizes scored in one forward
pass, C channels, N nodes of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.edges import edges_by_size
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.score import circuit_logits, task_batch, task_loss, task_losses
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

VALIDATION_SEED = 0
"""The same validation pairs for every pruner, seed, size and target."""


class LossCurve:
    """Task loss of the circuits of one ranking by their size k, each scored once and remembered.

    k counts nodes, or the edges that are kept where a pruner ranks edges.
    """

    def __init__(
        self, model: GPT, task: Task, ranking: Ranking, config: PruneConfig, progress: Progress | None = None
    ) -> None:
        self.model, self.task, self.ranking, self.config, self.progress = model, task, ranking, config, progress
        self.batch = task_batch(model, task, "validation", config.validation_pairs, VALIDATION_SEED)
        self.counts: dict[int, tuple[int, int]] = {}
        """(nodes, edges) of the circuit by k, of the sizes asked for so far."""
        self.losses: dict[int, float] = {}
        """Loss in nats by k, of the sizes asked for so far."""

    def __repr__(self) -> str:
        return f"LossCurve({self.task.name}: {len(self.losses)} sizes scored of 0 to {self.ranking.size:,})"

    @property
    def first_with_edges(self) -> int:
        """The smallest size that has an edge (1 for a model without edges)."""
        if self.ranking.edges is not None:
            return 1
        edges = edges_by_size(self.model, self.ranking.ranks()).tolist()
        return next((k for k, number in enumerate(edges) if number), 1)

    def circuit(self, k: int) -> Circuit:
        """The circuit of size k as it is scored: without dangling nodes if edges are ranked or it will be trimmed."""
        circuit = self.ranking.circuit(k)
        return circuit if circuit.weights is None and self.config.trim == "none" else circuit.trimmed(self.model)

    def loss_of(self, circuit: Circuit) -> float:
        """Task loss of any circuit on the curve's validation pairs, in nats."""
        return float(task_loss(circuit_logits(self.model, circuit, self.batch), self.batch).double().mean())

    def loss(self, k: int) -> float:
        """Validation loss of the circuit of size k."""
        return self.score([k])[0]

    def score(self, sizes: Sequence[int]) -> list[float]:
        """Validation losses of several sizes, those not known yet in as few forward passes as memory allows."""
        unknown = sorted(set(sizes) - set(self.losses))
        at_once = max(1, self.config.score_rows // len(self.batch))
        for start in range(0, len(unknown), at_once):
            group = unknown[start : start + at_once]
            self.losses.update(zip(group, self._losses(group), strict=True))
            if self.progress is not None:
                self.progress(start + len(group), len(unknown), f"scoring circuits of {group[0]} nodes and more")
        return [self.losses[k] for k in sizes]

    def _losses(self, sizes: list[int]) -> list[float]:
        circuits = [self.circuit(k) for k in sizes]
        self.counts.update({k: (one.n_nodes, one.edges(self.model)) for k, one in zip(sizes, circuits, strict=True)})
        if any(one.weights is not None for one in circuits):  # each has weights of its own
            losses = [self.loss_of(one) for one in circuits]
        else:
            losses = self._losses_of_masks([one.nodes for one in circuits])
        if not all(map(math.isfinite, losses)):
            raise UserError(f"task {self.task.name} has no finite loss: the model's weights or node means hold NaN")
        return losses

    @torch.no_grad()
    def _losses_of_masks(self, sizes: list[dict[str, Tensor]]) -> list[float]:
        """Losses of several circuits, each site -> bool [C], in one batch; only nodes of any of them are computed."""
        masks = {site: torch.stack([nodes[site] for nodes in sizes]) for site in sizes[0]}  # [R, C]
        reduction = Reduction(self.model, {site: mask.any(dim=0) for site, mask in masks.items()}, torch.float32)
        batch, device = TaskBatch.join([self.batch] * len(sizes)), self.batch.tokens.device
        owner = torch.arange(len(sizes), device=device).repeat_interleave(len(self.batch))
        with frozen(self.model, torch.float32):
            rows = task_losses(reduction, batch, masks, owner, rows=self.config.score_rows)
        return rows.double().view(len(sizes), -1).mean(dim=1).tolist()  # type: ignore[no-any-return]

    def points(self) -> list[list[float]]:
        """The curve so far: [nodes, edges, loss in nats] by rising number of nodes."""
        return [[*self.counts[k], self.losses[k]] for k in sorted(self.losses)]


def smallest_size(curve: LossCurve, target: float, search: str) -> int | None:
    """The size chosen for a target loss by `search` (scan or bisect), or None if no size tried meets the target."""
    return scan(curve, target) if search == "scan" else bisect(curve, target)


def scan(curve: LossCurve, target: float) -> int | None:
    """The smallest size that meets the target: over a geometric grid, then ever finer below the smallest that did.

    The loss is not monotone in k, so the whole grid is scored. The mask the pruner trained is one of its sizes, and so
    are sizes just over it: fresh pairs may miss the target by a hair, and larger sizes were never trained to meet it.
    Sizes too small to have an edge are left out: nothing passes through them.
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
"""Sizes scored around the trained mask, as shares of it."""
REFINEMENT = 4
"""Parts into which the scan divides the gap below its smallest size, each time."""


def geometric_grid(first: int, last: int, ratio: float) -> list[int]:
    """Whole numbers from `first` to `last`, both included, each at most `ratio` times the last, or 1 more than it."""
    grid, value = [first], float(first)
    while grid[-1] < last:
        value = max(value * ratio, grid[-1] + 1)
        grid.append(min(last, math.floor(value)))
    return grid


def bisect(curve: LossCurve, target: float) -> int | None:
    """The paper's search: bisection over all sizes, as if the loss fell with every node added."""
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
