"""Means over tasks and pruning seeds, and which tasks models may be compared on.

The rules (docs/definitions.md, Score): a model is scored by the geometric mean of edges over the tasks that count. A
task counts when the model has it (unpruned loss below the target) and its circuits met the target on validation pairs.
Pruning seeds are averaged first, geometrically, task by task. Two models are compared on the tasks that count for both,
and every mean is reported with its number of tasks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sparsegpt2.results.choose import display_names
from sparsegpt2.results.rows import Row

Size = Literal["edges", "edges_trimmed"]
"""Measure of a circuit's size: a field of `Row`."""

DENSE_FROM = 0.99
"""Models of at least this density count as dense baselines."""


def geometric_mean(values: Iterable[float]) -> float:
    """exp of the mean logarithm. A size of 0 (an empty circuit that meets the target) is counted as 1, because its
    logarithm would outweigh every other task. NaN for no values."""
    logs = [math.log(max(value, 1.0)) for value in values]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


def ratio_mean(ratios: Iterable[float]) -> float:
    """Geometric mean of positive ratios, which may be below 1. NaN for no ratios."""
    logs = [math.log(ratio) for ratio in ratios]
    return math.exp(math.fsum(logs) / len(logs)) if logs else math.nan


@dataclass(frozen=True)
class Spread:
    """A geometric mean over tasks of geometric means over pruning seeds."""

    value: float
    """The mean; NaN if it is over no tasks."""
    tasks: int
    """Number of tasks in the mean."""
    low: float
    """For each seed that was run on all these tasks, the mean of that seed alone is taken. `low` is the smallest of
    them; `value` if there is no such seed."""
    high: float
    """The largest of the means of single seeds; `value` if there is none."""
    seeds: int
    """Number of seeds that were run on all these tasks."""

    @classmethod
    def of(cls, value: float, tasks: int, by_seed: Sequence[float]) -> Spread:
        """From the mean over all seeds, the number of tasks, and the mean of each seed that was run on all of them."""
        return cls(value, tasks, min(by_seed, default=value), max(by_seed, default=value), len(by_seed))


@dataclass(frozen=True)
class TaskResult:
    """One model on one task: one row for each pruning seed."""

    rows: tuple[Row, ...]

    def __repr__(self) -> str:
        return f"TaskResult({len(self.rows)} seeds, the first {self.rows[0]!r})"

    @property
    def status(self) -> str:
        """Status of the rows: `pruned`, `lacks the task` or `unavailable`."""
        return self.rows[0].status

    @property
    def counts(self) -> bool:
        """Whether the task counts for the model. The rows of all seeds must count, so that no lucky seed decides."""
        return all(row.counts for row in self.rows)

    @property
    def misses_on_test(self) -> bool:
        """Whether the task counts but a circuit misses the target on test pairs (`Row.misses_on_test`)."""
        return self.counts and any(row.misses_on_test for row in self.rows)

    @property
    def has_task(self) -> bool:
        """Whether the unpruned model has the task."""
        return self.rows[0].has_task

    @property
    def loss_full(self) -> float | None:
        """Task loss of the unpruned model on test pairs, nats."""
        return self.rows[0].loss_full

    @property
    def loss(self) -> float | None:
        """Task loss of the circuits on test pairs, nats, mean over seeds; None if nothing was pruned."""
        losses = [row.loss for row in self.rows if row.loss is not None]
        return math.fsum(losses) / len(losses) if losses else None

    def edges(self, size: Size = "edges") -> float | None:
        """Circuit size, geometric mean over seeds; None if nothing was pruned."""
        sizes = [row[size] for row in self.rows if row[size] is not None]
        if len(sizes) == 1:
            return float(sizes[0])  # exact, and 0 for an empty circuit, where geometric_mean would give 1
        return geometric_mean(sizes) if sizes else None

    def edges_of(self, seed: int, size: Size = "edges") -> int | None:
        """Circuit size with one pruning seed; None if that seed was not run or nothing was pruned."""
        return next((row[size] for row in self.rows if row.seed == seed), None)


@dataclass(frozen=True)
class ModelResult:
    """One model under one pruner and one target loss."""

    name: str
    """Name of the model, followed by the start of its fingerprint if another model has the same name."""
    tasks: dict[str, TaskResult]
    """Task -> its rows."""

    def __repr__(self) -> str:
        return f"ModelResult({self.name}: {len(self.tasks)} tasks, {len(self.counted)} of them count)"

    @property
    def row(self) -> Row:
        """One of the model's rows. The fields that describe the model are the same in all of them."""
        return next(iter(self.tasks.values())).rows[0]

    @property
    def is_dense(self) -> bool:
        """Whether it is a dense baseline."""
        return self.row.density >= DENSE_FROM

    @property
    def counted(self) -> list[str]:
        """Tasks that count for the model, sorted."""
        return sorted(task for task, result in self.tasks.items() if result.counts)

    @property
    def missed_on_test(self) -> list[str]:
        """Tasks that count but whose circuit misses the target on test pairs, sorted. Tables show their number."""
        return sorted(task for task, result in self.tasks.items() if result.misses_on_test)

    @property
    def had(self) -> list[str]:
        """Tasks that the model has (unpruned loss below the target), sorted."""
        return sorted(task for task, result in self.tasks.items() if result.has_task)

    @property
    def seeds(self) -> list[int]:
        """Pruning seeds, sorted."""
        return sorted({row.seed for result in self.tasks.values() for row in result.rows})

    def size(self, tasks: Iterable[str] | None = None, size: Size = "edges") -> Spread:
        """Geometric mean of edges over `tasks`, all of which must count (None: all that count)."""
        tasks = self.counted if tasks is None else list(tasks)
        by_seed = []
        for seed in self.seeds:
            sizes = [self.tasks[task].edges_of(seed, size) for task in tasks]
            if tasks and all(value is not None for value in sizes):
                by_seed.append(geometric_mean(value for value in sizes if value is not None))
        value = geometric_mean(self.tasks[task].edges(size) or 0.0 for task in tasks)
        return Spread.of(value, len(tasks), by_seed)


@dataclass(frozen=True)
class Ratio:
    """How many times smaller the circuits of `sparse` are than those of `dense`, over the tasks that count for both."""

    dense: ModelResult
    sparse: ModelResult
    spread: Spread
    """Geometric mean of the ratios dense : sparse of the tasks. `low` and `high` are over the seeds with which both
    models were pruned."""

    @property
    def loss_gap(self) -> float:
        """Held-out loss of the sparse model minus that of the dense one, nats per token; NaN if either is unknown."""
        dense, sparse = self.dense.row.held_out_loss, self.sparse.row.held_out_loss
        return math.nan if dense is None or sparse is None else sparse - dense


def model_results(rows: Iterable[Row], pruner: str, target_loss: float) -> list[ModelResult]:
    """The results of every model for one pruner and target loss, in the order of the rows."""
    chosen = [row for row in rows if row.pruner == pruner and row.target_loss == target_loss]
    grouped: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in chosen:
        grouped[row.fingerprint][row.task].append(row)
    names = display_names(chosen)
    return [
        ModelResult(
            names[fingerprint],
            {task: TaskResult(tuple(sorted(of_task, key=lambda row: row.seed))) for task, of_task in of_model.items()},
        )
        for fingerprint, of_model in grouped.items()
    ]


def shared_tasks(models: Sequence[ModelResult]) -> list[str]:
    """Tasks that count for every model in `models`, sorted; empty for no models."""
    return sorted(set.intersection(*(set(model.counted) for model in models))) if models else []


def comparable(models: Sequence[ModelResult], min_shared: int = 1) -> tuple[list[ModelResult], list[ModelResult]]:
    """(compared, left out): models with the fewest counted tasks are left out until `min_shared` tasks are shared.

    The compared models keep their order; together the two lists hold all of `models`. If `min_shared` cannot be
    reached, all models are left out.
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

    value = mean_ratio([(dense.tasks[task].edges(size), sparse.tasks[task].edges(size)) for task in tasks])
    by_seed = []
    for seed in sorted(set(dense.seeds) & set(sparse.seeds)):
        pairs = [(dense.tasks[task].edges_of(seed, size), sparse.tasks[task].edges_of(seed, size)) for task in tasks]
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
