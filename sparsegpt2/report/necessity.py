"""Whether circuits are necessary: task loss without the circuit and without random sets of its size (paper, figure 32).

The rows must contain the check necessity: `sparsegpt2 bench ... --evidence --check.checks necessity`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsegpt2.evidence.case import CHANCE
from sparsegpt2.plain import check, reading
from sparsegpt2.report.style import COLOURS, GREY, add_note, log_ticks, styled
from sparsegpt2.results import ModelResult, Row, Table, TaskResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHECK = "necessity"
WITHOUT_NODES, WITHOUT_EDGES = ("without circuit", "without random set"), ("without edges", "without random edges")
"""In each, the names under which a finding of the check holds the loss without the circuit and the loss without random
sets. `WITHOUT_NODES` is used if nodes were ablated, `WITHOUT_EDGES` if edges were."""
Measured = tuple[str, list[float]]
"""(what was ablated, losses). The first is `nodes` or `edges`. The losses are three: of the whole model, without the
circuit, and without random sets."""


@dataclass(frozen=True)
class Ablated:
    """The task loss (nats) of a model, whole or ablated: its mean over pruning seeds, and the lowest and highest
    value."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Necessity:
    """The losses of one model on one task."""

    model: str
    task: str
    kind: str
    """What was ablated: the circuit's `nodes` or, if it has a mask over weights, its `edges`."""
    full: Ablated
    """Loss of the whole model."""
    without: Ablated
    """Loss without the circuit."""
    without_random: Ablated
    """Loss without random nodes, as many at each site as the circuit has. If `kind` is `edges`: without random edges,
    as many in each map as the circuit has."""
    seeds: int
    """Number of pruning seeds."""


def necessities(models: Sequence[ModelResult]) -> list[Necessity]:
    """The losses of each model and task whose rows contain the check necessity.

    Models are in the given order, and the tasks of a model are sorted by name.
    """
    found = []
    for model in models:
        for task, result in sorted(model.tasks.items()):
            measured = _measured(result)
            if measured:
                found.append(_of_cell(model.name, task, measured))
    return found


def necessity_table(found: Sequence[Necessity]) -> Table:
    """One line per model and task."""
    return [
        {
            "model": one.model,
            "task": one.task,
            "taken_out": one.kind,
            "loss_full": round(one.full.value, 6),
            **_columns("without_circuit", one.without),
            **_columns("without_random", one.without_random),
            "pruning_seeds": one.seeds,
        }
        for one in found
    ]


def draw_necessity(found: Sequence[Necessity], *, target: float, pruner: str) -> Figure:
    """One panel per model, one line per task: loss of the whole model, without random sets, and without the circuit."""
    from matplotlib.figure import Figure

    models, tasks = list(dict.fromkeys(one.model for one in found)), sorted({one.task for one in found}, reverse=True)
    values = [v for one in found for a in (one.full, one.without, one.without_random) for v in (a.low, a.high)] + [
        CHANCE
    ]
    low, high = max(min(values) / 1.3, 1e-3), max(values) * 1.3
    with styled():
        size = (2.3 + 2.4 * len(models), 1.5 + 0.21 * len(tasks))
        figure = Figure(figsize=size, layout="constrained")
        axes = list(figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0])
        for axis, model in zip(axes, models, strict=True):
            axis.set_title(model, fontsize=9)
            axis.set_xlabel("Task loss (nats)")
            axis.set_xscale("log")
            axis.set_xlim(low, high)
            log_ticks(axis.xaxis, [low, high])
            axis.axvline(CHANCE, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
            for one in (one for one in found if one.model == model):
                _draw_task(axis, one, tasks.index(one.task), low)
        axes[0].set_yticks(range(len(tasks)), tasks)
        axes[0].set_ylim(-0.7, len(tasks) - 0.3)
        _legend(figure, axes[0])
        several = max(one.seeds for one in found) > 1
        note = (
            f"Circuits of the {pruner} pruner at target loss {target:g}, mean-ablated in the model. Dashed: chance, "
            f"ln 2. A circuit is necessary if the loss is above chance without it, but not without random sets."
            f"{' Bars: range over pruning seeds.' if several else ''}"
        )
        add_note(figure, note)
        return figure


# --- Parts ----------------------------------------------------------------------------------------------------------


def _measured(result: TaskResult) -> list[Measured]:
    """What the check necessity measured: one entry for each row (pruning seed) that contains this check."""
    return [found for row in result.rows if (found := _of_row(row)) is not None]


def _of_row(row: Row) -> Measured | None:
    """What the check measured in one row; None if it was not run. `UserError` if the row's evidence is damaged."""
    with reading(f"the evidence of {row.model} on {row.task}, seed {row.seed},", "benchmark it again"):
        findings = check((row.evidence or {}).get("findings") or {}, dict[str, dict[str, Any]], "findings")
        finding = findings.get(CHECK)
        if not finding or finding.get("verdict") == "not run":
            return None
        kind = check(finding["details"]["decided by"], str, "decided by")
        names = ("full", *(WITHOUT_EDGES if kind == "edges" else WITHOUT_NODES))
        return kind, [check(finding["numbers"][name]["value"], float, name) for name in names]


def _of_cell(model: str, task: str, found: Sequence[Measured]) -> Necessity:
    full, without, without_random = (
        _over_seeds(values) for values in zip(*(losses for _, losses in found), strict=True)
    )
    return Necessity(model, task, found[0][0], full, without, without_random, len(found))


def _over_seeds(values: Sequence[float]) -> Ablated:
    return Ablated(math.fsum(values) / len(values), min(values), max(values))


def _columns(name: str, loss: Ablated) -> dict[str, float]:
    return {name: round(loss.value, 6), f"{name}_low": round(loss.low, 6), f"{name}_high": round(loss.high, 6)}


MARKS: dict[str, dict[str, Any]] = {
    "whole model": {"marker": "|", "color": GREY, "ms": 9, "mew": 1.6},
    "without random sets": {"marker": "s", "color": COLOURS[0], "ms": 5.5, "mfc": "white", "mew": 1.4},
    "without the circuit": {"marker": "o", "color": COLOURS[1], "ms": 6.5},
}


def _draw_task(axis: Axes, one: Necessity, height: int, low: float) -> None:
    """Draw the three losses of a task at one height, with bars for their range over seeds."""
    losses = (one.full, one.without_random, one.without)
    places = [max(loss.value, low) for loss in losses]
    axis.plot([min(places), max(places)], [height] * 2, color="0.8", linewidth=1, zorder=2)
    for loss, place, look in zip(losses, places, MARKS.values(), strict=True):
        axis.plot(
            [max(loss.low, low), max(loss.high, low)], [height] * 2, color=look["color"], linewidth=2.4, alpha=0.5
        )
        axis.plot(place, height, ls="", zorder=4, clip_on=False, **look)


def _legend(figure: Figure, axis: Axes) -> None:
    for label, look in MARKS.items():
        axis.plot([], [], ls="", label=label, **look)
    figure.legend(loc="outside upper center", ncols=3)
