"""Rank the nodes of several cells together, by training the gates of several tasks and seeds in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eval_tasks.bench.pruner_cells import PrunerCell
from sparsegpt2.circuits import PruneConfig, Ranking, Task, rank_together
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def share_rankings(cells: Sequence[PrunerCell], together: int) -> list[PrunerCell]:
    """The same cells, but grouped so that the cells of a group share one `SharedRanking`.

    A group has at most `together` cells, all with the same model, pruner and target losses. Cells that search for their
    settings (`trials`) are not grouped. Finished cells are grouped too, so that an interrupted benchmark continues with
    the same groups.
    """
    ranking: dict[int, SharedRanking] = {}
    alike: dict[Any, list[PrunerCell]] = {}
    for cell in cells:
        if together > 1 and not cell.trials:
            alike.setdefault((cell.subject.path, cell.prune.pruner, cell.targets), []).append(cell)
    for group in alike.values():
        for start in range(0, len(group), together):
            some = group[start : start + together]
            shared = SharedRanking([cell.asked for cell in some])
            ranking |= {id(cell): shared for cell in some}
    return [replace(cell, rank=ranking[id(cell)]) if id(cell) in ranking else cell for cell in cells]


class SharedRanking:
    """A callable with the arguments of `rank_nodes`. The first call computes the rankings of all cells of the group."""

    def __init__(self, runs: Sequence[Callable[[GPT], tuple[Task, PruneConfig] | None]]) -> None:
        """runs: a function for each cell of the group. It takes the model and returns the cell's task and settings, or
        None if there is nothing to prune."""
        self.runs = runs
        self.rankings: dict[tuple[str, PruneConfig], Ranking] = {}

    def __call__(self, model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
        if (task.name, config) not in self.rankings:
            tasks, configs = zip(*[run for ask in self.runs if (run := ask(model)) is not None], strict=True)
            made = rank_together(model, tasks, configs, progress)
            self.rankings = {(task.name, config): one for task, config, one in zip(tasks, configs, made, strict=True)}
        return self.rankings[task.name, config]
