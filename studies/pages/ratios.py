"""How many times larger the circuits of a dense model are than those of a sparse one."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from sparsegpt2.results import ModelResult, Ratio, TaskResult, ratio_mean, size_ratio
from studies.pages.models import ranged, span
from studies.pages.registry import number
from studies.pages.rows import models, table, targets

TUNED = "dense-64-lr2.5e-3"
"""The dense model whose learning rate was bracketed on both sides. The others' rates are two to four times too high."""
DRAWS = 10_000
"""Bootstrap samples of an interval."""


@cache
def compared(
    results: str,
    dense: str,
    sparse: str,
    pruner: str = "",
    target: str = "",
    over: str = "",
    without: str = "",
    size: str = "edges",
) -> Ratio:
    """The ratio of two models. size: `edges`, `nodes` or `with_side_edges`. over: only tasks that this pruner was also
    run on. without: all tasks but these, separated by commas."""
    side = size == "with_side_edges"
    found = models(results, pruner, target, side)
    pair = [_only(found[name], over and set(models(results, over)[name].tasks), without) for name in (dense, sparse)]
    return size_ratio(pair[0], pair[1], "edges" if side else size)  # type: ignore[arg-type]


def _only(model: ModelResult, tasks: set[str] | str, without: str) -> ModelResult:
    kept: dict[str, TaskResult] = {
        task: cell
        for task, cell in model.tasks.items()
        if task not in without.split(",") and (not tasks or task in tasks)
    }
    return ModelResult(model.name, kept)


def interval_of(found: Ratio) -> tuple[float, float]:
    """The 95% interval of a ratio over tasks: percentiles of `DRAWS` means over tasks drawn with replacement."""
    tasks = sorted(set(found.dense.counted) & set(found.sparse.counted))
    logs = np.array([math.log(task_ratio_of(found.dense, found.sparse, task)) for task in tasks])
    drawn = np.random.default_rng(0).integers(len(logs), size=(DRAWS, len(logs)))
    low, high = np.exp(np.percentile(logs[drawn].mean(axis=1), [2.5, 97.5]))
    return float(low), float(high)


def task_ratio_of(dense: ModelResult, sparse: ModelResult, task: str) -> float:
    """The ratio of two models' circuits for one task."""
    return ratio_mean([max(dense.tasks[task].edges() or 0, 1) / max(sparse.tasks[task].edges() or 0, 1)])


def untuned_pairs(results: str) -> list[Ratio]:
    """Each sparse model with the dense model of nearest held-out loss, among those that were not tuned."""
    found = models(results).values()
    dense = [model for model in found if model.is_dense and model.name != TUNED]
    return [
        min((compared(results, other.name, model.name) for other in dense), key=lambda ratio: abs(ratio.loss_gap))
        for model in found
        if not model.is_dense
    ]


def pairs(results: str) -> list[Ratio]:
    """On the main page the fair pair first, then the pairs with dense models that were not tuned."""
    from studies.pages.fair import fair_pair

    return [*([fair_pair()] if results == "main" else []), *untuned_pairs(results)]


@number
def ratios_table(results: str) -> str:
    """A line for each pair."""
    head = ["sparse", "dense", "held-out loss, sparse − dense", "tasks", "dense : sparse, edges", "95% over tasks"]
    lines = []
    for each in pairs(results):
        low, high = interval_of(each)
        dense = each.dense.name + (" (tuned)" if each.dense.name == TUNED else " (not tuned)")
        count = str(each.spread.tasks)
        size = ranged(each.spread, 1)
        lines.append([each.sparse.name, dense, f"{each.loss_gap:+.3f}", count, size, f"{low:.1f} to {high:.1f}"])
    return table(head, lines)


@number
def targets_table(results: str) -> str:
    """A line for each target loss, with the ratio of every pair and its number of tasks."""
    found = pairs(results)
    lines = []
    for target in targets(results):
        there = models(results, "", str(target))
        cells = []
        for each in found:
            both = each.dense.name in there and each.sparse.name in there
            spread = compared(results, each.dense.name, each.sparse.name, target=str(target)).spread if both else None
            cells.append(f"{ranged(spread, 1)}, {spread.tasks} tasks" if spread else "-")
        lines.append([f"{target:g}", *cells])
    return table(["target loss", *(f"{each.dense.name} : {each.sparse.name}" for each in found)], lines)


@number
def made_of_table(results: str, dense: str, sparse: str, edge_pruner: str) -> str:
    """What a ratio is made of: two models, and the fair pair where it is there, by other measures of size."""
    columns = [(each.dense.name, each.sparse.name) for each in pairs(results) if each.dense.name == TUNED]
    columns.append((dense, sparse))
    lines = []
    for what, options in (
        ("edges of circuits of nodes", {}),
        ("nodes", {"size": "nodes"}),
        ("edges and side edges", {"size": "with_side_edges"}),
        ("edges of circuits of nodes, tasks of the next line", {"over": edge_pruner}),
        (f"edges of circuits of edges (`{edge_pruner}`)", {"pruner": edge_pruner}),
    ):
        needed = models(results, edge_pruner) if edge_pruner in options.values() else models(results)
        cells = []
        for pair in columns:
            spread = compared(results, *pair, **options).spread if all(name in needed for name in pair) else None
            cells.append(f"{ranged(spread, 1)}, {spread.tasks} tasks" if spread else "-")
        lines.append([what, *cells])
    return table(["size of a circuit", *(f"{one} : {other}" for one, other in columns)], lines)


@number
def ratio(results: str, dense: str, sparse: str, digits: str = "1", **options: str) -> str:
    """The ratio. Options: those of `compared`."""
    return f"{compared(results, dense, sparse, **options).spread.value:.{digits}f}"


@number
def ratio_range(results: str, dense: str, sparse: str, **options: str) -> str:
    """Its range over pruning seeds."""
    spread = compared(results, dense, sparse, **options).spread
    return span([spread.low, spread.high], 1)


@number
def ratio_interval(results: str, dense: str, sparse: str, **options: str) -> str:
    """Its 95% interval over tasks."""
    return span(list(interval_of(compared(results, dense, sparse, **options))), 1)


@number
def ratio_tasks(results: str, dense: str, sparse: str, **options: str) -> str:
    """The number of tasks that it is over."""
    return str(compared(results, dense, sparse, **options).spread.tasks)


@number
def ratio_over_targets(results: str, dense: str, sparse: str) -> str:
    """Its range over the target losses."""
    found = [compared(results, dense, sparse, target=str(target)).spread.value for target in targets(results)]
    return span(found, 1)


@number
def gap(results: str, dense: str, sparse: str) -> str:
    """The absolute difference of two held-out losses, nats per token."""
    size = abs(compared(results, dense, sparse).loss_gap)
    return f"{size:.3f}" if size >= 0.001 else f"{size:.1g}"


@number
def task_ratio(results: str, dense: str, sparse: str, tasks: str) -> str:
    """The ratio of one task, or its range over several, separated by commas."""
    found = models(results)
    return span([task_ratio_of(found[dense], found[sparse], task) for task in tasks.split(",")], 0)
