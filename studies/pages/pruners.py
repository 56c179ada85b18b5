"""Pruners compared: sizes, losses and seconds for the tasks that every pruner was run on."""

from __future__ import annotations

from sparsegpt2.report.pruners import comparisons
from sparsegpt2.results import ModelResult, geometric_mean
from studies.pages.models import ranged
from studies.pages.registry import number
from studies.pages.rows import models, rows_of, table, usual


def tasks_of(results: str, model: str) -> list[str]:
    """Tasks that count for a model with every pruner."""
    target = usual(results)[1]
    return next(one.tasks for one in comparisons(rows_of(results), target, "edges", [model]))


def pruners_of(results: str, model: str) -> dict[str, ModelResult]:
    """Pruner -> the model's results with it, largest circuits first."""
    tasks = tasks_of(results, model)
    there = {row.pruner for row in rows_of(results) if row.model == model}
    found = {pruner: models(results, pruner)[model] for pruner in there}
    return dict(sorted(found.items(), key=lambda item: -item[1].size(tasks).value))


@number
def pruners_table(results: str, *names: str) -> str:
    """A line for each pruner: edges, mean loss on test pairs and seconds per circuit, in each of the models `names`."""
    head = ["pruner"]
    for name in names:
        head += [f"{name}: edges", "test loss", "seconds"]
    lines = []
    for pruner in pruners_of(results, names[0]):
        cells = [pruner]
        for name in names:
            tasks, found = tasks_of(results, name), pruners_of(results, name)[pruner]
            rows = [row for task in tasks for row in found.tasks[task].rows]
            loss = sum(row.loss or 0.0 for row in rows) / len(rows)
            first = [row for row in rows if row.seed == found.seeds[0]]
            seconds = geometric_mean(row.seconds for row in first)
            cells += [ranged(found.size(tasks)), f"{loss:.2f}", f"{seconds:.1f}"]
        lines.append(cells)
    return table(head, lines)


@number
def pruner_tasks(results: str, model: str) -> str:
    """The tasks of that table."""
    return ", ".join(tasks_of(results, model))


@number
def pruner_ratio(results: str, model: str, larger: str, smaller: str) -> str:
    """How many times more edges one pruner needs than another."""
    tasks, found = tasks_of(results, model), pruners_of(results, model)
    quotient = found[larger].size(tasks).value / found[smaller].size(tasks).value
    return f"{quotient:.0f}" if quotient >= 10 else f"{quotient:.1f}"


@number
def edges_of_pruner(results: str, model: str, pruner: str) -> str:
    """Geometric-mean edges of a pruner's circuits, over the tasks that count with every pruner."""
    return f"{pruners_of(results, model)[pruner].size(tasks_of(results, model)).value:,.0f}"
