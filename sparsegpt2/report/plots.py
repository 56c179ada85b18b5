"""Draws the figures from the values that `frontier.py` and `training.py` compute. `style.py` determines their look.

Legends are outside the axes, so they never cover a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsegpt2.report.style import (
    DASHES,
    GREY,
    PALE,
    add_note,
    label_points,
    log_scales,
    log_ticks,
    look_of,
    new_figure,
    styled,
    tick_number,
)
from sparsegpt2.results import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_POINTS = 12
"""If there are more models than this, points are drawn without names. The names are then only in the table."""


@dataclass(frozen=True)
class Point:
    """One model in the figure of capability against interpretability."""

    name: str
    d_model: int
    l0: int
    """Number of nonzero weights and biases."""
    dense: bool
    loss: float
    """Held-out loss, nats per token."""
    size: Spread
    """Number of edges, geometric mean over the shared tasks."""
    had: int
    """Number of benchmarked tasks that the model has."""
    of: int
    """Number of benchmarked tasks."""
    pareto: bool
    """Whether it is in the Pareto set: no other point is at least as good in loss and size, and better in one."""


@dataclass(frozen=True)
class Curve:
    """One model's task loss against circuit size."""

    name: str
    label: str
    """Legend text: name, L0, held-out loss."""
    line: list[tuple[float, float]]
    """(edges, loss) along the pruner's ranking, where edges are a mean over a fixed set of tasks."""
    marks: list[tuple[Spread, float]]
    """(edges, target loss): one entry for each target loss, with the mean size of the circuits found for it."""


@dataclass(frozen=True)
class TrainingCurve:
    """Loss and L0 of one run against training tokens."""

    name: str
    tokens: list[int]
    loss: list[float]
    """Training loss at each of `tokens`, nats per token."""
    held_out: list[tuple[int, float]]
    """(tokens, held-out loss)."""
    l0: list[tuple[int, float]]
    """(tokens, L0)."""


def draw_frontier(
    points: Sequence[Point],
    lines: Sequence[tuple[str, Sequence[Point]]],
    *,
    size_label: str,
    note: str,
) -> Figure:
    """Capability against interpretability: held-out loss on x, edges on y, both logarithmic; lower left is better.

    points: at least one. lines: (legend label, points) for each group of models of one L0; each group is joined by a
    line with its own dash pattern. Models of one width are joined by a solid line, dense models by a dotted line.
    """
    with styled():
        figure, axes = new_figure(1, width=7.6, height=4.6)
        axis = axes[0]
        widths = sorted({point.d_model for point in points})
        log_scales(axis, [p.loss for p in points], [v for p in points for v in (p.size.low, p.size.value, p.size.high)])
        _draw_pareto(axis, points)
        for number, (label, joined) in enumerate(lines):
            dash = DASHES[1 + number % (len(DASHES) - 1)]
            _join(axis, joined, color=GREY, linestyle=dash, linewidth=1.0, label=label, zorder=2)
        _join(axis, [p for p in points if p.dense], color="0", linestyle=(0, (1, 1)), linewidth=1.2, zorder=2)
        for number, width in enumerate(widths):
            of_width = [point for point in points if point.d_model == width]
            look = look_of(number)
            _join(axis, [p for p in of_width if not p.dense], color=look["color"], zorder=3)
            _scatter(axis, of_width, f"width {width}", color=look["color"], marker=look["marker"])
        axis.set_xlabel("Held-out loss (nats per token)")
        axis.set_ylabel(size_label)
        _legend(figure, axis, dense=any(p.dense for p in points), bars=any(p.size.seeds > 1 for p in points))
        add_note(figure, note)
        named = len(points) <= NAMED_POINTS
        texts = [f"{p.name}  {p.had}/{p.of}" if named else str(p.had) for p in points]
        label_points(figure, axis, [(p.loss, p.size.value) for p in points], texts)
        return figure


def draw_sizes(
    curves: Sequence[Curve], counts: dict[float, int], *, target: float, size_label: str, note: str
) -> Figure:
    """Task loss against circuit size, both logarithmic. Each model has a line, and a marker for each target loss.

    counts: target loss -> number of tasks over which its markers are averaged. target: a dashed line is drawn at this
    loss, in nats.
    """
    with styled():
        figure, axes = new_figure(1, width=7.6, height=4.4)
        axis = axes[0]
        sizes = [v for c in curves for v in [x for x, _ in c.line] + [s for m, _ in c.marks for s in (m.low, m.high)]]
        losses = [y for c in curves for _, y in c.line] + [y for c in curves for _, y in c.marks] + [target]
        log_scales(axis, sizes, losses)
        axis.axhline(target, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        for number, curve in enumerate(curves):
            look = look_of(number)
            axis.plot([], [], **look, markersize=6, label=curve.label)
            axis.plot(*_columns(curve.line), **{**look, "marker": ""}, zorder=2)
            for size, loss in curve.marks:
                mark = {**look, "linestyle": "", "markeredgecolor": "white", "markeredgewidth": 0.6}
                axis.plot([size.value], [loss], **mark, markersize=7, zorder=4)
                axis.plot([size.low, size.high], [loss, loss], color=look["color"], linewidth=2.2, alpha=0.5, zorder=3)
        for loss, count in counts.items():
            axis.annotate(
                f"{count} tasks" if count != 1 else "1 task",
                (1.0, loss),
                xycoords=("axes fraction", "data"),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=GREY,
            )
        axis.set_xlabel(size_label)
        axis.set_ylabel("Task loss (nats)")
        figure.legend(loc="outside right upper")
        add_note(figure, note)
        return figure


def draw_training(curves: Sequence[TrainingCurve], *, note: str = "") -> Figure:
    """Two panels: loss and L0 against training tokens. Each run has its own colour, dash pattern and marker.

    Thin lines show the training loss, smoothed; lines with markers show the held-out loss.
    """
    with styled():
        figure, (upper, lower) = new_figure(2, width=7.6, height=5.0)
        for number, curve in enumerate(curves):
            look = look_of(number)
            upper.plot(curve.tokens, _smooth(curve.loss), **{**look, "marker": ""}, linewidth=0.7, alpha=0.6)
            upper.plot(*_columns(curve.held_out), **look, markersize=4, label=curve.name)
            lower.plot(*_columns(curve.l0), **look, markersize=4)
        upper.set_ylabel("Loss (nats per token)")
        last = [curve.held_out[-1][1] if curve.held_out else curve.loss[-1] for curve in curves if curve.loss]
        if last:  # without limits, the first losses, near log(vocab_size), would make all later ones look alike
            upper.set_ylim(min(last) - 0.15, max(last) + 1.6)
        lower.set_ylabel("L0 (nonzero weights)")
        lower.set_xlabel("Training tokens")
        weights = [value for curve in curves for _, value in curve.l0]
        if max(weights, default=0) > 0:  # a run that has just begun has no L0 yet, which a logarithmic axis needs
            lower.set_yscale("log")
            log_ticks(lower.yaxis, weights)
        lower.xaxis.set_major_formatter(tick_number)
        figure.legend(loc="outside right upper")
        add_note(figure, note)
        return figure


# --- Parts ----------------------------------------------------------------------------------------------------------


def _join(axis: Axes, points: Sequence[Point], **look: Any) -> None:
    """Draw a line through the points in order of loss; nothing if there are fewer than two points."""
    if len(points) > 1:
        ordered = sorted(points, key=lambda point: point.loss)
        axis.plot([p.loss for p in ordered], [p.size.value for p in ordered], **look)


def _scatter(axis: Axes, points: Sequence[Point], label: str, *, color: str, marker: str) -> None:
    """Draw filled markers for sparse models, hollow ones for dense models, and bars for the range over seeds."""
    for point in points:
        axis.plot([point.loss] * 2, [point.size.low, point.size.high], color=color, linewidth=1, zorder=4)
        face = "white" if point.dense else color
        axis.plot(point.loss, point.size.value, marker=marker, ms=7, mfc=face, mec=color, mew=1.5, ls="", zorder=5)
    axis.plot([], [], color=color, marker=marker, markersize=6, label=label)


def _draw_pareto(axis: Axes, points: Sequence[Point]) -> None:
    """Draw a pale staircase through the Pareto set, and a pale disc behind each of its points."""
    best = sorted((p for p in points if p.pareto), key=lambda point: point.loss)
    x, y = [p.loss for p in best], [p.size.value for p in best]
    if len(best) > 1:
        axis.plot(x, y, drawstyle="steps-post", color=PALE, linewidth=5, solid_capstyle="round", zorder=1)
    axis.plot(x, y, ls="", marker="o", ms=15, mfc=PALE, mec="0.7", mew=0.6, zorder=1.5, label="Pareto set")


def _legend(figure: Figure, axis: Axes, *, dense: bool, bars: bool) -> None:
    """Add the legend outside the axes: widths, lines of equal L0, dense models, Pareto set, range over seeds."""
    from matplotlib.lines import Line2D

    handles, labels = axis.get_legend_handles_labels()
    order = {"width": 0, "L0": 1, "Pareto": 3}
    entries = [(order[label.split()[0]], handle, label) for handle, label in zip(handles, labels, strict=True)]
    if dense:
        hollow = Line2D([], [], color="0", ls=(0, (1, 1)), lw=1.2, marker="o", mfc="white", mec="0", mew=1.5, ms=7)
        entries.append((2, hollow, "dense (hollow)"))
    if bars:
        entries.append((4, Line2D([], [], color=GREY, marker="|", ls="", ms=10), "range over pruning seeds"))
    entries.sort(key=lambda entry: entry[0])
    spacing = 1.1  # the disc of the Pareto set is larger than a line of text
    figure.legend([e[1] for e in entries], [e[2] for e in entries], loc="outside right upper", labelspacing=spacing)


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _smooth(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about 1/50 of the run."""
    weight = 1 / max(1.0, len(values) / 50)
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else smoothed[-1] + weight * (value - smoothed[-1]))
    return smoothed
