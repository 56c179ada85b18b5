"""Means over tasks and pruning seeds, and which tasks models may be compared on.

The rules (docs/definitions.md, Score): a model is scored by the geometric mean of edges over the tasks that count. A
task counts when the model has it (unpruned loss below the target) and its circuits met the target. Pruning seeds are
averaged first, geometrically, task by task. Two models are compared on the tasks that count for both, and every mean
says how many tasks are in it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sparsegpt2.config import require
from sparsegpt2.results.results import Row, current_rows, read_rows

Size = Literal["edges", "edges_trimmed"]
"""Which measure of a circuit's size is meant."""

USUAL_TARGET = 0.15
"""Target task loss of the paper (nats), taken where a choice is left open."""
DENSE_FROM = 0.99
"""Models at least this dense count as dense baselines."""


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm. A size of 0 (an empty circuit that meets the target) enters as 1, since its
    logarithm would swallow every other task. NaN for no values."""
    logs = [math.log(max(value, 1.0)) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


def ratio_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of positive ratios, which may be under 1. NaN for none."""
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


@dataclass(frozen=True)
class Spread:
    """A geometric mean over tasks, of geometric means over pruning seeds."""

    value: float
    """The mean; NaN when no task entered it."""
    tasks: int
    """How many tasks entered."""
    low: float
    """Smallest of the means of the single seeds (those that have all these tasks); `value` when there is none."""
    high: float
    """Largest of them."""
    seeds: int
    """How many seeds have all these tasks."""

    @classmethod
    def of(cls, value: float, tasks: int, by_seed: Sequence[float]) -> Spread:
        """From the mean and the means of the single seeds."""
        return cls(value, tasks, min(by_seed, default=value), max(by_seed, default=value), len(by_seed))


@dataclass(frozen=True)
class Cell:
    """One model on one task: a row for each pruning seed."""

    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        return f"Cell({len(self.rows)} seeds, the first {self.rows[0]!r})"

    @property
    def status(self) -> str:
        """As the rows': `pruned`, `has not` or `unavailable`."""
        return self.rows[0].status

    @property
    def counts(self) -> bool:
        """Whether the task counts for the model: with every seed that was run, so that luck cannot choose."""
        return all(row.counts for row in self.rows)

    @property
    def has_task(self) -> bool:
        """Whether the unpruned model has the task."""
        return self.rows[0].has_task

    @property
    def loss_full(self) -> float | None:
        """The unpruned model's task loss, nats."""
        return self.rows[0].loss_full

    @property
    def loss(self) -> float | None:
        """The circuits' test loss, nats, mean over seeds; None when nothing was pruned."""
        losses = [row.loss for row in self.rows if row.loss is not None]
        return math.fsum(losses) / len(losses) if losses else None

    def edges(self, size: Size = "edges") -> float | None:
        """Circuit size, geometric mean over seeds; None when nothing was pruned."""
        sizes = [row[size] for row in self.rows if row[size] is not None]
        if len(sizes) == 1:
            return float(sizes[0])  # not even an empty circuit is then changed
        return geometric_mean(sizes) if sizes else None

    def edges_of(self, seed: int, size: Size = "edges") -> int | None:
        """Circuit size of one seed; None when it was not run."""
        return next((row[size] for row in self.rows if row.seed == seed), None)


@dataclass(frozen=True)
class ModelResult:
    """One model under one pruner and one target loss."""

    name: str
    """Its name, told apart from other models of that name by the beginning of the fingerprint."""
    cells: dict[str, Cell]
    """Task -> its rows."""

    def __repr__(self) -> str:
        return f"ModelResult({self.name}: {len(self.cells)} tasks, {len(self.counted)} of them count)"

    @property
    def row(self) -> Row:
        """Any of its rows, for the fields about the model."""
        return next(iter(self.cells.values())).rows[0]

    @property
    def is_dense(self) -> bool:
        """Whether it is a dense baseline."""
        return self.row.density >= DENSE_FROM

    @property
    def counted(self) -> list[str]:
        """Tasks that count for it, sorted."""
        return sorted(task for task, cell in self.cells.items() if cell.counts)

    @property
    def had(self) -> list[str]:
        """Tasks whose unpruned loss is under the target, sorted."""
        return sorted(task for task, cell in self.cells.items() if cell.has_task)

    @property
    def seeds(self) -> list[int]:
        """Pruning seeds, sorted."""
        return sorted({row.seed for cell in self.cells.values() for row in cell.rows})

    def size(self, tasks: Iterable[str] | None = None, size: Size = "edges") -> Spread:
        """Geometric mean of edges over `tasks`, which must count (None: all that do)."""
        tasks = self.counted if tasks is None else list(tasks)
        by_seed = []
        for seed in self.seeds:
            sizes = [self.cells[task].edges_of(seed, size) for task in tasks]
            if tasks and all(value is not None for value in sizes):
                by_seed.append(geometric_mean(value for value in sizes if value is not None))
        value = geometric_mean(self.cells[task].edges(size) or 0.0 for task in tasks)
        return Spread.of(value, len(tasks), by_seed)


@dataclass(frozen=True)
class Ratio:
    """How many times smaller the circuits of `sparse` are than those of `dense`, over the tasks both have."""

    dense: ModelResult
    sparse: ModelResult
    spread: Spread
    """Geometric mean of the tasks' ratios dense : sparse; low and high over the seeds both were pruned with."""

    @property
    def loss_gap(self) -> float:
        """Held-out loss of the sparse model minus the dense one's, nats per token; NaN when either is unknown."""
        dense, sparse = self.dense.row.held_out_loss, self.sparse.row.held_out_loss
        return math.nan if dense is None or sparse is None else sparse - dense


def load_results(paths: Iterable[str | Path]) -> list[Row]:
    """The current rows of several results folders; where two hold the same cell, the later folder's row stays."""
    paths = list(paths)
    require(bool(paths), "give at least one results folder, as written by `sparsegpt2 bench`")
    latest = {}
    for path in paths:
        for row in current_rows(read_rows(path)):
            latest[row.fingerprint, row.task, row.pruner, row.seed, row.target_loss] = row
    return list(latest.values())


def choose_pruner(rows: Sequence[Row], pruner: str | None = None) -> str:
    """The named pruner; without a name the only one there is, or `node` among several. `UserError` when absent."""
    there = sorted({row.pruner for row in rows})
    if pruner is None:
        pruner = "node" if "node" in there else there[0]
    require(pruner in there, f"there are no results of the pruner {pruner!r}; there are some of {', '.join(there)}")
    return pruner


def choose_target(rows: Sequence[Row], target_loss: float | None = None) -> float:
    """The given target loss; without one, the one nearest to 0.15. `UserError` when there are no such results."""
    there = sorted({row.target_loss for row in rows})
    if target_loss is None:
        return min(there, key=lambda target: abs(math.log(target / USUAL_TARGET)))
    listed = ", ".join(f"{target:g}" for target in there)
    require(target_loss in there, f"there are no results for the target loss {target_loss:g}; there are for {listed}")
    return target_loss


def model_results(rows: Iterable[Row], pruner: str, target_loss: float) -> list[ModelResult]:
    """Every model's results under one pruner and target, in the order of the rows."""
    chosen = [row for row in rows if row.pruner == pruner and row.target_loss == target_loss]
    cells: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in chosen:
        cells[row.fingerprint][row.task].append(row)
    names = display_names(chosen)
    return [
        ModelResult(
            names[fingerprint],
            {task: Cell(tuple(sorted(of_task, key=lambda row: row.seed))) for task, of_task in of_model.items()},
        )
        for fingerprint, of_model in cells.items()
    ]


def display_names(rows: Iterable[Row]) -> dict[str, str]:
    """Fingerprint -> the model's name, with the fingerprint's beginning where two models share a name."""
    names = {row.fingerprint: row.model for row in rows}
    taken = list(names.values())
    return {
        fingerprint: name if taken.count(name) == 1 else f"{name} ({fingerprint[:6]})"
        for fingerprint, name in names.items()
    }


def shared_tasks(models: Sequence[ModelResult]) -> list[str]:
    """Tasks that count for every one of the models, sorted; none for no models."""
    return sorted(set.intersection(*(set(model.counted) for model in models))) if models else []


def comparable(models: Sequence[ModelResult], min_shared: int = 1) -> tuple[list[ModelResult], list[ModelResult]]:
    """(compared, left out): models that count the fewest tasks are left out until `min_shared` tasks are shared.

    The compared keep their order; both lists together are `models`. Nothing is compared when it cannot be reached.
    """
    weakest_first = sorted(models, key=lambda model: len(model.counted))
    for dropped in range(len(weakest_first)):
        kept = weakest_first[dropped:]
        if len(shared_tasks(kept)) >= min_shared:
            names = {model.name for model in kept}
            return [model for model in models if model.name in names], weakest_first[:dropped]
    return [], weakest_first


def size_ratio(dense: ModelResult, sparse: ModelResult, size: Size = "edges") -> Ratio:
    """Geometric mean over shared tasks of edges dense : edges sparse (each at least 1)."""
    tasks = shared_tasks([dense, sparse])

    def mean_ratio(pairs: list[tuple[float | None, float | None]]) -> float:
        return ratio_mean(max(large or 0, 1) / max(small or 0, 1) for large, small in pairs)

    value = mean_ratio([(dense.cells[task].edges(size), sparse.cells[task].edges(size)) for task in tasks])
    by_seed = []
    for seed in sorted(set(dense.seeds) & set(sparse.seeds)):
        pairs = [(dense.cells[task].edges_of(seed, size), sparse.cells[task].edges_of(seed, size)) for task in tasks]
        if pairs and all(None not in pair for pair in pairs):
            by_seed.append(mean_ratio(list(pairs)))
    return Ratio(dense, sparse, Spread.of(value, len(tasks), by_seed))


def all_ratios(models: Sequence[ModelResult], size: Size = "edges") -> list[Ratio]:
    """Every dense model against every sparse one."""
    sparse = [model for model in models if not model.is_dense]
    return [size_ratio(dense, other, size) for dense in models if dense.is_dense for other in sparse]


def headline_ratio(models: Sequence[ModelResult], tolerance: float = 0.0, size: Size = "edges") -> Ratio | None:
    """The largest ratio dense : sparse among sparse models whose held-out loss is at most `tolerance` nats per token
    above the dense model's; None when no such pair shares a task."""
    fair = [ratio for ratio in all_ratios(models, size) if ratio.loss_gap <= tolerance and ratio.spread.tasks]
    return max(fair, key=lambda ratio: ratio.spread.value, default=None)
