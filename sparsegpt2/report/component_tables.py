"""Markdown tables about component circuits: their sizes at equal faithfulness, and the cost of each method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from sparsegpt2.report.components import curves_of, fewest_edges
from sparsegpt2.results import Row, component_rows

ABSENT, NOT_RUN = "–", "not run"


def table(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def names_of(rows: Iterable[Row]) -> tuple[list[str], list[str], list[str]]:
    """The models, tasks and methods of the component circuits among the rows, each in order of first appearance."""
    found = component_rows(rows)
    columns = ([row.model for row in found], [row.task for row in found], [row.pruner for row in found])
    models, tasks, methods = (list(dict.fromkeys(column)) for column in columns)
    return models, tasks, methods


def sizes_table(rows: Sequence[Row], kl: float) -> str:
    """For each model, task and method, the fewest edges of a circuit that is close to the full model.

    A circuit is close if its KL to the full model on test pairs is at most `kl` nats. A dash means that no circuit of
    the method is close enough.
    """
    models, tasks, methods = names_of(rows)
    lines = []
    for model in models:
        for task in tasks:
            curves = curves_of(rows, model, task)
            sizes = [fewest_edges(curves[one], kl) or ABSENT if one in curves else NOT_RUN for one in methods]
            lines.append([model, task, *sizes])
    return table(["model", "task", *methods], lines)


def size_ratios(circuits: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> list[float]:
    """Ratios of numbers of edges: each circuit's, divided by that of the smallest circuit in `others` that is as close.

    A circuit is as close if its KL to the full model is not larger. circuits, others: scores of circuits
    (`Row.components`). A circuit is left out if no circuit in `others` has so low a KL.
    """
    found = [(one["edges"], fewest_edges(others, one["kl"])) for one in circuits]
    return [edges / fewest for edges, fewest in found if edges and fewest]


def ratios_table(rows: Sequence[Row], method: str) -> str:
    """A table that compares the circuits of `method` with those of each other method, over all tasks.

    For each model and other method it shows the geometric mean of the `size_ratios`, how many of them are below 0.5,
    and how many there are.
    """
    models, tasks, methods = names_of(rows)
    lines = []
    for model in models:
        curves = {task: curves_of(rows, model, task) for task in tasks}
        for other in methods:
            ratios = [
                ratio
                for task in tasks
                for ratio in size_ratios(curves[task].get(method, ()), curves[task].get(other, ()))
            ]
            if other != method:
                middle = f"{math.exp(mean(map(math.log, ratios))):.2f}" if ratios else ABSENT
                lines.append([model, other, middle, sum(ratio < 0.5 for ratio in ratios), len(ratios)])
    return table(["model", f"{method} against", "geometric mean", "under half", "circuits compared"], lines)


def costs_table(rows: Sequence[Row]) -> str:
    """The cost of one run of each method in each model. A run gives several circuits for one task.

    Shown are the mean of the seconds over tasks, the largest number of circuits for one task, and the largest peak
    memory for one task in MB.
    """
    models, _, methods = names_of(rows)
    lines = []
    for method in methods:
        line: list[object] = [method]
        for model in models:
            runs = {row.task: row for row in component_rows(rows) if (row.model, row.pruner) == (model, method)}
            measures = [row.components or {} for row in runs.values()]
            memory = [one["megabytes"] for one in measures if one["megabytes"] is not None]
            line += [
                f"{mean(row.seconds for row in runs.values()):.1f}" if runs else ABSENT,
                max((one["circuits_of_run"] for one in measures), default=ABSENT),
                f"{max(memory):.0f}" if memory else ABSENT,
            ]
        lines.append(line)
    return table(["method", *(f"{model}: {what}" for model in models for what in ("s", "circuits", "MB"))], lines)
