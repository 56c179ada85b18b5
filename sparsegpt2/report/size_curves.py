"""Curves of task loss against circuit size: the number of edges at which a loss is reached, averaged over tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sparsegpt2.report.plots import Curve
from sparsegpt2.report.style import plain_number
from sparsegpt2.results import ModelResult, Size, Spread, TaskResult, geometric_mean, shared_tasks

LEVELS = 60
"""Number of points in a line. Their losses are evenly spaced on a logarithmic scale."""


def matched_models(models: Sequence[ModelResult], within: float) -> tuple[list[ModelResult], str | None]:
    """The largest group of models with about the same held-out loss as one dense model, and the name of that model.

    within: largest difference of held-out losses in nats per token. If there are no dense models, the group is formed
    around any model. If no two models match, returns all models, and None instead of a name.
    """
    groups = []
    for centre in [model for model in models if model.is_dense] or models:
        loss = centre.row.held_out_loss or 0.0
        near = [model for model in models if abs((model.row.held_out_loss or 0.0) - loss) <= within]
        groups.append((near, centre.name))
    largest, name = max(groups, key=lambda group: len(group[0]), default=([], ""))
    return (largest, name) if len(largest) > 1 else (list(models), None)


def size_curves(
    models: Sequence[ModelResult], by_target: dict[float, list[ModelResult]], tasks: Sequence[str], size: Size
) -> tuple[list[Curve], dict[float, int]]:
    """The line and the markers of each model, and the number of tasks over which the markers are averaged.

    by_target: target loss -> models with their circuits for this target. tasks: the tasks that may be averaged over.
    The second result is target loss -> number of tasks: those whose circuits meet this target in every model.
    """
    marks: dict[str, list[tuple[Spread, float]]] = {model.name: [] for model in models}
    counts = {}
    for target, at_target in by_target.items():
        reached = sorted(set(shared_tasks(at_target)) & set(tasks)) if len(at_target) == len(models) else []
        if reached:
            counts[target] = len(reached)
            for model in at_target:
                marks[model.name].append((model.size(reached, size), target))
    curves = []
    for model in models if tasks else ():
        row = model.row
        label = f"{model.name} \nL0 {plain_number(row.l0)}, {row.held_out_loss:.3f} nats/token"
        line = line_along_ranking([model.tasks[task] for task in tasks], size, down_to=min(counts) / 2)
        curves.append(Curve(model.name, label, line, marks[model.name]))
    return curves, counts


def line_along_ranking(results: Sequence[TaskResult], size: Size, down_to: float) -> list[tuple[float, float]]:
    """Points (edges, loss) along the pruner's rankings. Edges are a geometric mean over tasks and pruning seeds.

    The line starts at the highest loss that all recorded curves reach. It ends at the lowest loss that all of them
    reach or, if that is lower than `down_to`, at `down_to`. It is empty unless `size` is `edges`, because curves record
    no other size.
    """
    curves = [[row.curve for row in result.rows] for result in results]
    if size != "edges" or not all(curve for of_task in curves for curve in of_task):
        return []
    losses = [[[loss for _, _, loss in curve] for curve in of_task] for of_task in curves]
    high = min(max(values) for of_task in losses for values in of_task)
    low = max(max(min(min(values) for values in of_task) for of_task in losses), down_to)
    if low >= high:
        return []
    line = []
    for step in range(LEVELS):
        level = high * (low / high) ** (step / (LEVELS - 1)) * (1 + 1e-9)
        sizes = [[edges_at(curve, level) for curve in of_task] for of_task in curves]
        if all(value is not None for of_task in sizes for value in of_task):
            mean = geometric_mean(geometric_mean(v for v in of_task if v is not None) for of_task in sizes)
            line.append((mean, level))
    return line


def edges_at(curve: Sequence[Sequence[float]], loss: float) -> float | None:
    """Smallest number of edges at which a curve of [nodes, edges, loss] falls to `loss`; None if it never does.

    If a curve crosses `loss` several times, the first crossing counts. Between measured sizes, log loss is interpolated
    linearly in log edges. A size of 0 counts as 1.
    """
    previous: tuple[float, float] | None = None  # (log edges, log loss) of the lowest loss so far
    for _, edges, value in sorted(curve, key=lambda entry: entry[1]):
        here = (math.log(max(edges, 1)), math.log(max(value, 1e-12)))
        if value <= loss:
            if previous is None or here[1] == previous[1]:
                return math.exp(here[0])
            share = (math.log(loss) - previous[1]) / (here[1] - previous[1])
            return math.exp(previous[0] + share * (here[0] - previous[0]))
        if previous is None or here[1] < previous[1]:
            previous = here
    return None
