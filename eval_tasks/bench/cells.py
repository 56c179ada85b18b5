"""Cells of a benchmark, what can be asked of each, and how several share a batch when their nodes are ranked.

A cell is one model, task, pruner and seed: its nodes are ranked once and circuits for every target cut from the
ranking.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from eval_tasks.bench.subjects import Posed, Subject
from sparsegpt2.circuits import PruneConfig, Ranking, Task, rank_together, unpruned_loss
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.ranking import Progress
from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.evidence import EvidenceConfig
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results.results import row_identity

TEST_SEED = 0
"""Seed of the test pairs: the same for every model, pruner and target."""

Run = tuple[Task, PruneConfig]

Ranker = Callable[[GPT, Task, PruneConfig, Progress | None], Ranking]
"""Ranks the nodes of a model for a task: `rank_nodes`, or a `SharedRanking`."""


@dataclass(frozen=True)
class Cell:
    """One model, task, pruner and seed, with what its circuits must meet."""

    subject: Subject
    posed: Posed
    prune: PruneConfig
    """Pruner, seed and all other settings; `target_loss` is what the ranking is aimed at."""
    targets: tuple[float, ...]
    """Target losses, falling; a row each."""
    test_pairs: int
    trials: int = 0
    """Trials of a search for the best settings; 0: `prune` as it is."""
    check: EvidenceConfig | None = None
    """How circuits are judged; None: not at all."""

    def __str__(self) -> str:
        return f"{self.subject.name} · {self.posed.name} · {self.prune.pruner}, seed {self.prune.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """What else decides the rows' numbers, as it stands in them."""
        own = {name: value for name, value in to_dict(self.prune).items() if name not in ("pruner", "seed")}
        settings = _without_tuples(own)
        settings = {"ranking_target": settings.pop("target_loss"), "test_pairs": self.test_pairs, **settings}
        settings |= {"tune": self.trials} if self.trials else {}
        return settings if self.check is None else {**settings, "evidence": _without_tuples(to_dict(self.check))}

    def identity(self, target: float) -> str:
        """The identity of the row for `target`, known before it is made."""
        return row_identity(
            self.subject.fingerprint,
            self.posed.name,
            self.posed.fingerprint,
            self.prune.pruner,
            self.prune.seed,
            target,
            self.settings,
        )


def shared_rankings(cells: Sequence[Cell], together: int) -> dict[int, Ranker]:
    """What ranks each cell, by its id, where it shares a batch with others; tuned cells share none.

    Groups are made of all cells, finished or not, so that an interrupted benchmark goes on with the same ones.
    """
    rankers: dict[int, Ranker] = {}
    alike: dict[Any, list[Cell]] = {}
    for cell in cells:
        if together > 1 and not cell.trials:
            alike.setdefault((cell.subject.path, cell.prune.pruner, cell.targets), []).append(cell)
    for group in alike.values():
        for start in range(0, len(group), together):
            some = group[start : start + together]
            ranking = SharedRanking([partial(asked_of, cell) for cell in some])
            rankers |= {id(cell): ranking for cell in some}
    return rankers


def standing(cell: Cell, model: GPT) -> tuple[float, list[float]]:
    """The unpruned loss on test pairs, and the targets that it is under; `UserError` if the task cannot be posed."""
    task = cell.posed.task
    if task is None:
        raise UserError(cell.posed.reason)
    for split, pairs in (("train", cell.prune.pairs), ("validation", cell.prune.validation_pairs)):
        task_batch(model, task, split, pairs, 0)
    loss_full = unpruned_loss(model, task, pairs=cell.test_pairs, seed=TEST_SEED)
    return loss_full, [target for target in cell.targets if loss_full < target]


def asked_of(cell: Cell, model: GPT) -> Run | None:
    """The task to be pruned and the settings, aimed at a target that the model has; None where it has none."""
    try:
        had = standing(cell, model)[1]
    except UserError:
        return None
    task = cell.posed.task
    return None if task is None or not had else (task, aim_at(had, cell.prune))


def aim_at(had: Sequence[float], prune: PruneConfig) -> PruneConfig:
    """The settings, aimed at the nearest of the targets that the model has."""
    return replace(prune, target_loss=nearest(had, prune.target_loss))


def nearest(targets: Sequence[float], wanted: float) -> float:
    """The target loss with the smallest ratio to `wanted`."""
    return min(targets, key=lambda target: max(target / wanted, wanted / target))


class SharedRanking:
    """Called like `rank_nodes`: the rankings of all runs of a group, made together when the first is asked for."""

    def __init__(self, runs: Sequence[Callable[[GPT], Run | None]]) -> None:
        """runs: what each cell of the group asks of a model, or None where there is nothing to prune."""
        self.runs = runs
        self.rankings: dict[tuple[str, PruneConfig], Ranking] = {}

    def __call__(self, model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
        if (task.name, config) not in self.rankings:
            tasks, configs = zip(*[run for ask in self.runs if (run := ask(model)) is not None], strict=True)
            made = rank_together(model, tasks, configs, progress)
            self.rankings = {(task.name, config): one for task, config, one in zip(tasks, configs, made, strict=True)}
        return self.rankings[task.name, config]


def _without_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
