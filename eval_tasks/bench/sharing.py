"""Cells whose nodes are ranked together: the gates of several tasks and seeds train in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from eval_tasks.bench.pruner_cells import PrunerCell
from sparsegpt2.circuits import PruneConfig, Ranking, Task, rank_together
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def share_rankings(cells: Sequence[PrunerCell], together: int) -> list[PrunerCell]:
    """The same cells, groups of `together` of them with one `SharedRanking`; tuned cells share none.

    Groups are made of all cells, finished or not, so that an interrupted benchmark goes on with the same ones.
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
    """Called like `rank_nodes`: the rankings of all runs of a group, made together when the first is asked for."""

    def __init__(self, runs: Sequence[Callable[[GPT], tuple[Task, PruneConfig] | None]]) -> None:
        """runs: what each cell of the group asks of a model, or None where there is nothing to prune."""
        self.runs = runs
        self.rankings: dict[tuple[str, PruneConfig], Ranking] = {}

    def __call__(self, model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
        if (task.name, config) not in self.rankings:
            tasks, configs = zip(*[run for ask in self.runs if (run := ask(model)) is not None], strict=True)
            made = rank_together(model, tasks, configs, progress)
            self.rankings = {(task.name, config): one for task, config, one in zip(tasks, configs, made, strict=True)}
        return self.rankings[task.name, config]
