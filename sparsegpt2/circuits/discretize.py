"""From a ranking to a circuit: the loss-against-size curve, and the smallest size that meets a target loss.

All sizes are scored on one fixed batch of validation pairs, in float32. Shapes: B rows, R sizes scored in one forward
pass, C channels, N nodes of the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.edges import edges_by_size
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.ranking import Progress, Ranking
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.score import task_batch, task_losses
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT

VALIDATION_SEED = 0
"""The same validation pairs for every pruner, seed, size and target."""


class LossCurve:
    """Task loss of the circuits of one ranking by their number of nodes k, each scored once and remembered."""

    def __init__(
        self, model: GPT, task: Task, ranking: Ranking, config: PruneConfig, progress: Progress | None = None
    ) -> None:
        self.model, self.task, self.ranking, self.config, self.progress = model, task, ranking, config, progress
        self.batch = task_batch(model, task, "validation", config.validation_pairs, VALIDATION_SEED)
        self.ranks = ranking.ranks()
        self.edges = edges_by_size(model, self.ranks).tolist()
        """Edges of the circuit of k nodes, entry k of N + 1."""
        self.losses: dict[int, float] = {}
        """Loss in nats by k, of the sizes asked for so far."""

    @property
    def first_with_edges(self) -> int:
        """The smallest number of nodes that are joined by an edge (1 for a model without edges)."""
        return next((k for k, edges in enumerate(self.edges) if edges), 1)

    def loss(self, k: int) -> float:
        """Validation loss of the circuit of the k first nodes."""
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

    @torch.no_grad()
    def _losses(self, sizes: list[int]) -> list[float]:
        """Losses of rising sizes in one batch: each circuit lies in the next, so the last one's nodes are enough."""
        limits = torch.tensor(sizes)[:, None]  # [R, 1]
        masks = {name: places < limits for name, places in self.ranks.items()}  # [R, C]
        reduction = Reduction(self.model, {name: mask[-1] for name, mask in masks.items()}, torch.float32)
        batch, device = TaskBatch.join([self.batch] * len(sizes)), self.batch.tokens.device
        owner = torch.arange(len(sizes), device=device).repeat_interleave(len(self.batch))
        with frozen(self.model, torch.float32):
            rows = task_losses(reduction, batch, masks, owner, rows=self.config.score_rows)
        losses = rows.double().view(len(sizes), -1).mean(dim=1).tolist()
        if not all(map(math.isfinite, losses)):
            raise UserError(f"task {self.task.name} has no finite loss: the model's weights or node means hold NaN")
        return losses

    def points(self) -> list[list[float]]:
        """The curve so far: [nodes, edges, loss in nats] by rising number of nodes."""
        return [[k, self.edges[k], self.losses[k]] for k in sorted(self.losses)]


def smallest_size(curve: LossCurve, target: float, search: str) -> int | None:
    """The size chosen for a target loss by `search` (scan or bisect), or None if no size tried meets the target."""
    return scan(curve, target) if search == "scan" else bisect(curve, target)


def scan(curve: LossCurve, target: float) -> int | None:
    """The smallest size that meets the target: over a geometric grid, then ever finer below the smallest that did.

    The loss is not monotone in k, so the whole grid is scored, with the mask the pruner trained as one of its sizes.
    Sizes too small to have an edge are left out: nothing passes through them.
    """
    total, trained = curve.ranking.n_nodes, curve.ranking.trained_size or 0
    first = min(curve.first_with_edges, total)
    grid = sorted({*geometric_grid(first, total, curve.config.grid_ratio), max(first, trained)})
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
    low, high = 0, curve.ranking.n_nodes
    if curve.loss(high) > target:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        if curve.loss(middle) <= target:
            high = middle
        else:
            low = middle
    return high
