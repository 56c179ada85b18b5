"""Comparison of pruners: the sizes of the circuits that they find for the same tasks in the same model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sparsegpt2.report.style import add_note, log_ticks, look_of, styled
from sparsegpt2.results import ModelResult, Row, Size, Spread, Table, model_results, shared_tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """The circuit sizes of several pruners in one model, over the tasks that count with every one of these pruners."""

    model: str
    tasks: list[str]
    sizes: dict[str, Spread]
    """Pruner -> geometric mean of its circuit sizes, with the range over pruning seeds."""


def comparisons(rows: Sequence[Row], target_loss: float, size: Size, names: Sequence[str] = ()) -> list[Comparison]:
    """Compare the pruners in each model that has rows of several pruners at `target_loss`.

    A model is left out if no task counts with all of its pruners. names: if not empty, only these models are used.
    """
    by_model: dict[str, dict[str, ModelResult]] = {}
    for pruner in sorted({row.pruner for row in rows if row.target_loss == target_loss}):
        for model in model_results(rows, pruner, target_loss):
            if not names or model.name in names:
                by_model.setdefault(model.name, {})[pruner] = model
    found = []
    for name, by_pruner in by_model.items():
        tasks = shared_tasks(list(by_pruner.values()))
        if len(by_pruner) > 1 and tasks:
            found.append(Comparison(name, tasks, {p: model.size(tasks, size) for p, model in by_pruner.items()}))
    return found


def pruner_table(found: Sequence[Comparison]) -> Table:
    """A table with one line for each model and pruner."""
    return [
        {
            "model": one.model,
            "pruner": pruner,
            "tasks": spread.tasks,
            "size": round(spread.value, 2),
            "size_low": round(spread.low, 2),
            "size_high": round(spread.high, 2),
            "pruning_seeds": spread.seeds,
        }
        for one in found
        for pruner, spread in sorted(one.sizes.items(), key=lambda item: item[1].value)
    ]


def draw_pruners(found: Sequence[Comparison], *, target: float, size_label: str) -> Figure:
    """One row for each pruner, with the smallest circuits on top. Each model has a marker in each row.

    Bars show the range over pruning seeds.
    """
    from matplotlib.figure import Figure

    pruners = sorted({p for one in found for p in one.sizes}, key=lambda pruner: -_typical(found, pruner))
    sizes = [value for one in found for spread in one.sizes.values() for value in (spread.low, spread.high)]
    low, high = max(min(sizes), 1) / 1.4, max(sizes) * 1.4
    with styled():
        figure = Figure(figsize=(7.6, 1.6 + 0.32 * len(pruners)), layout="constrained")
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.set_xlim(low, high)
        log_ticks(axis.xaxis, [low, high])
        for number, one in enumerate(found):
            look = {**look_of(number), "linestyle": ""}
            label = f"{one.model} ({len(one.tasks)} task{'' if len(one.tasks) == 1 else 's'})"
            axis.plot([], [], **look, markersize=6, label=label)
            for pruner, spread in one.sizes.items():
                height = pruners.index(pruner)
                axis.plot([spread.low, spread.high], [height] * 2, color=look["color"], linewidth=2.2, alpha=0.5)
                axis.plot(spread.value, height, **look, markersize=7, mec="white", mew=0.6, zorder=4)
        axis.set_yticks(range(len(pruners)), pruners)
        axis.set_ylim(-0.7, len(pruners) - 0.3)
        axis.set_xlabel(f"Circuit size ({size_label}, geometric mean)")
        figure.legend(loc="outside right upper")
        bars = (
            " Bars: range over pruning seeds." if any(s.seeds > 1 for one in found for s in one.sizes.values()) else ""
        )
        note = (
            f"Target loss {target:g}; for each model, means over the tasks on which every pruner meets this loss.{bars}"
        )
        add_note(figure, note)
        return figure


def _typical(found: Sequence[Comparison], pruner: str) -> float:
    """The mean circuit size of a pruner in the model where it is smallest. The rows are sorted by this number."""
    return min(one.sizes[pruner].value for one in found if pruner in one.sizes)
