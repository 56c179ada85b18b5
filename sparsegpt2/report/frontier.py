"""The two main figures and their tables, from benchmark results.

(a) Capability against interpretability: held-out loss against the geometric mean of edges (paper, figure 3).
(b) Task loss against circuit size, for models of equal held-out loss (paper, figure 2).

Models are compared only on tasks that count for all of them; the figures and tables show how many tasks that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.report.config import SIZE_NAMES, FrontierConfig
from sparsegpt2.report.kurtosis import draw_kurtosis, kurtosis_table, streams
from sparsegpt2.report.necessity import draw_necessity, necessities, necessity_table
from sparsegpt2.report.plots import Curve, Point, draw_frontier, draw_sizes
from sparsegpt2.report.pruners import comparisons, draw_pruners, pruner_table
from sparsegpt2.report.size_curves import matched_models, size_curves
from sparsegpt2.report.style import plain_number, save_figure
from sparsegpt2.results import (
    ModelResult,
    Row,
    Size,
    Table,
    choose_pruner,
    choose_target,
    comparable,
    geometric_mean,
    load_results,
    model_results,
    shared_tasks,
    write_table,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Frontier:
    """Everything that the figures and tables show. `analyse` computes it."""

    config: FrontierConfig
    pruner: str
    target_loss: float
    models: list[ModelResult]
    """All models with results for this pruner and target loss."""
    left_out: list[tuple[str, str]]
    """(model, reason) for each model that is not compared."""
    shared: list[str]
    """Tasks that count for every compared model."""
    points: list[Point]
    """The models in figure (a); empty if no models can be compared."""
    matched_with: str | None
    """Name of the model that the models of figure (b) match. Models match if their held-out losses differ by at most
    `config.match_within`. None if no two models match; then all models are drawn."""
    matched_tasks: list[str]
    """The tasks over which the lines of figure (b) are averaged."""
    curves: list[Curve]
    """The models in figure (b)."""
    counts: dict[float, int]
    """Target loss -> number of `matched_tasks` whose circuits meet this target in all models of figure (b)."""

    def figure(self) -> Figure:
        """Draw figure (a). `points` must not be empty."""
        of_size = f"{SIZE_NAMES[self.config.size]}, geometric mean over {_tasks(len(self.shared), 'shared ')}"
        note = (
            f"Lower left is better. Next to each point: number of tasks that the model has, of those benchmarked. "
            f"Compared on the {_tasks(len(self.shared))} that every model shown has and whose circuits meet a task "
            f"loss of {self.target_loss:g} nats ({self.pruner} pruner)."
        )
        if self.left_out:
            note += " Left out: " + ", ".join(f"{name} ({why})" for name, why in self.left_out) + "."
        lines = l0_lines(self.points, self.config.same_l0_within)
        return draw_frontier(self.points, lines, size_label=f"Circuit size ({of_size})", note=note)

    def sizes_figure(self) -> Figure:
        """Draw figure (b). `curves` must not be empty."""
        if len(self.curves) == 1:
            which = "One model"
        elif self.matched_with:
            which = (
                f"Models whose held-out loss is within {self.config.match_within:g} nats/token of that of "
                f"{self.matched_with}"
            )
        else:
            which = "No two models have equal held-out loss, so all are shown"
        note = (
            f"{which}. Lines: along the pruner's ranking, on validation pairs, over {_tasks(len(self.matched_tasks))} "
            f"that count for all models at {self.target_loss:g}. Markers: circuits found for each target loss; the "
            f"mean is over the tasks among them whose circuits meet that loss in every model (their number: right)."
        )
        label = f"Circuit size ({SIZE_NAMES[self.config.size]}, geometric mean)"
        return draw_sizes(self.curves, self.counts, target=self.target_loss, size_label=label, note=note)

    def model_table(self) -> Table:
        """The table of figure (a), with one line for each model, including models that are left out."""
        return [self._model_line(model) for model in self.models]

    def _model_line(self, model: ModelResult) -> dict[str, Any]:
        size = self.config.size
        own = model.size(size=size)
        point = next((point for point in self.points if point.name == model.name), None)
        on_shared = point.size if point else None
        return {
            "model": model.name,
            "dense": model.is_dense,
            "d_model": model.row.d_model,
            "n_layer": model.row.n_layer,
            "parameters": model.row.parameters,
            "l0": model.row.l0,
            "density": model.row.density,
            "tokens": model.row.tokens,
            "held_out_loss": model.row.held_out_loss,
            "tasks_benchmarked": len(model.tasks),
            "tasks_had": len(model.had),
            "tasks_counted": own.tasks,
            f"{size}_counted": _number(own.value),
            "tasks_shared": on_shared.tasks if on_shared else 0,
            f"{size}_shared": _number(on_shared.value) if on_shared else None,
            f"{size}_shared_low": _number(on_shared.low) if on_shared else None,
            f"{size}_shared_high": _number(on_shared.high) if on_shared else None,
            "pruning_seeds": len(model.seeds),
            "pareto": bool(point and point.pareto),
            "pruner": self.pruner,
            "target_loss": self.target_loss,
        }

    def task_table(self) -> Table:
        """A table with one line for each model and task."""
        return [
            {
                "model": model.name,
                "task": task,
                "status": result.status,
                "has_task": result.has_task,
                "counts": result.counts,
                "shared": task in self.shared,
                "edges": _number(result.edges("edges")),
                "edges_trimmed": _number(result.edges("edges_trimmed")),
                "loss": result.loss,
                "loss_full": result.loss_full,
                "pruning_seeds": len(result.rows),
                "reason": result.rows[0].reason,
            }
            for model in self.models
            for task, result in sorted(model.tasks.items())
        ]

    def sizes_table(self) -> Table:
        """The table of figure (b), with one line for each point: kind `target` for markers, `curve` for lines."""
        table = []
        for curve in self.curves:
            for size, loss in curve.marks:
                table.append(_size_line(curve, "target", loss, size.value, size.low, size.high, size.tasks))
            for edges, loss in curve.line:
                table.append(_size_line(curve, "curve", loss, edges, None, None, len(self.matched_tasks)))
        return table


def analyse(rows: Sequence[Row], config: FrontierConfig | None = None) -> Frontier:
    """Compute what the figures show. `UserError` if there are no rows of the config's pruner, target loss or models."""
    config = config or FrontierConfig()
    require(bool(rows), "there are no results to compare")
    pruner = choose_pruner(rows, config.pruner)
    rows = [row for row in rows if row.pruner == pruner]
    target = choose_target(rows, config.target_loss)
    models = _named(model_results(rows, pruner, target), config.models)
    with_loss = [model for model in models if model.row.held_out_loss is not None]
    compared, weak = comparable(with_loss, config.min_shared)
    left_out = [(model.name, "no held-out loss") for model in models if model.row.held_out_loss is None]
    left_out += [(model.name, f"only {_tasks(len(model.counted))}" if model.counted else "no tasks") for model in weak]
    shared = shared_tasks(compared)
    points = _points(compared, shared, config.size)
    group, matched_with = matched_models(compared, config.match_within)
    names = {model.name for model in group}
    by_target = {
        other: [model for model in model_results(rows, pruner, other) if model.name in names]
        for other in sorted({row.target_loss for row in rows}, reverse=True)
    }
    tasks = shared_tasks(group)
    curves, counts = size_curves(group, by_target, tasks, config.size)
    return Frontier(
        config=config,
        pruner=pruner,
        target_loss=target,
        models=models,
        left_out=left_out,
        shared=shared,
        points=points,
        matched_with=matched_with,
        matched_tasks=tasks,
        curves=curves,
        counts=counts,
    )


def write_frontier(folders: Iterable[str | Path], out: str | Path, config: FrontierConfig | None = None) -> list[Path]:
    """Draw the figures for the results in `folders` and write them with their tables. Returns the paths of the files.

    out: a file name such as `figures/frontier.png`. Figure (a) is written there with the suffixes .png and .svg (and
    .pdf if `out` ends in .pdf), and its table, with one line for each model, as .csv. In this example, figure (b) and
    its table are called frontier-sizes, and the table of tasks is frontier-tasks.csv. If the rows have the data for
    them, there are also frontier-pruners, frontier-kurtosis and frontier-necessity, each a figure with a table.
    `UserError` if no models can be compared.
    """
    formats = _formats(out)
    rows = load_results(folders)
    found = analyse(rows, config)
    if not found.points:
        raise UserError(nothing_to_draw(found))
    stem = _stem(out)
    paths = save_figure(found.figure(), stem, formats)
    paths.append(write_table(stem.with_name(stem.name + ".csv"), found.model_table()))
    paths.append(write_table(stem.with_name(stem.name + "-tasks.csv"), found.task_table()))
    paths += _figure_and_table(stem, "sizes", found.sizes_figure(), found.sizes_table(), formats)
    if compared := comparisons(rows, found.target_loss, found.config.size, found.config.models):
        figure = draw_pruners(compared, target=found.target_loss, size_label=SIZE_NAMES[found.config.size])
        paths += _figure_and_table(stem, "pruners", figure, pruner_table(compared), formats)
    if kinds := streams(rows, found.config.models):
        paths += _figure_and_table(stem, "kurtosis", draw_kurtosis(kinds), kurtosis_table(kinds), formats)
    if needs := necessities(found.models):
        figure = draw_necessity(needs, target=found.target_loss, pruner=found.pruner)
        paths += _figure_and_table(stem, "necessity", figure, necessity_table(needs), formats)
    return paths


def _figure_and_table(stem: Path, name: str, figure: Figure, table: Table, formats: Sequence[str]) -> list[Path]:
    own = stem.with_name(f"{stem.name}-{name}")
    return [*save_figure(figure, own, formats), write_table(own.with_name(own.name + ".csv"), table)]


def nothing_to_draw(found: Frontier) -> str:
    """One sentence that says why no models can be compared."""
    most = max((len(model.counted) for model in found.models), default=0)
    if most and found.config.min_shared > 1:
        return (
            f"no models share {found.config.min_shared} tasks at the target loss {found.target_loss:g}; "
            f"the best model has {most}; lower min_shared"
        )
    if most:
        return "no model records its held-out loss; benchmark checkpoints written by `sparsegpt2 train`"
    benchmarked = {task for model in found.models for task in model.tasks}
    return (
        f"no model has any of the {_tasks(len(benchmarked))} at the target "
        f"loss {found.target_loss:g}; train longer, or benchmark with a larger target loss"
    )


def pareto_set(values: Sequence[tuple[float, float]]) -> list[bool]:
    """For each (loss, size): whether it is in the Pareto set. In both numbers, smaller is better.

    A point is in the set if no other point is at least as good in both numbers and better in one.
    """
    return [
        not any(a <= x and b <= y and (a < x or b < y) for a, b in values)
        for x, y in values
    ]  # fmt: skip


def l0_lines(points: Sequence[Point], within: float) -> list[tuple[str, list[Point]]]:
    """Groups of sparse models that have about the same L0 and at least two different widths: (legend label, points).

    Within a group, no L0 is larger than 1 + `within` times the smallest.
    """
    groups: list[list[Point]] = []
    for point in sorted((p for p in points if not p.dense), key=lambda p: p.l0):
        if groups and point.l0 <= groups[-1][0].l0 * (1 + within):
            groups[-1].append(point)
        else:
            groups.append([point])
    return [
        (f"L0 {plain_number(geometric_mean(point.l0 for point in group))}", group)
        for group in groups
        if len({point.d_model for point in group}) > 1
    ]


# --- Parts ----------------------------------------------------------------------------------------------------------


def _named(models: list[ModelResult], names: Sequence[str]) -> list[ModelResult]:
    there = [model.name for model in models]
    for name in names:
        require(name in there, f"there are no results of a model named {name!r}, only of {', '.join(there)}")
    return [model for model in models if not names or model.name in names]


def _points(models: Sequence[ModelResult], shared: Sequence[str], size: Size) -> list[Point]:
    if not shared:
        return []
    sizes = [model.size(shared, size) for model in models]
    losses = [model.row.held_out_loss or 0.0 for model in models]
    best = pareto_set([(loss, spread.value) for loss, spread in zip(losses, sizes, strict=True)])
    return [
        Point(
            name=model.name,
            d_model=model.row.d_model,
            l0=model.row.l0,
            dense=model.is_dense,
            loss=loss,
            size=spread,
            had=len(model.had),
            of=len(model.tasks),
            pareto=pareto,
        )
        for model, spread, loss, pareto in zip(models, sizes, losses, best, strict=True)
    ]


def _stem(out: str | Path) -> Path:
    """`out` without the suffix of a figure or table. If `out` is a folder: the path of `frontier` in it."""
    out = Path(out)
    if out.is_dir():
        return out / "frontier"
    return out.with_suffix("") if out.suffix.lower() in (".png", ".svg", ".pdf", ".csv") else out


def _formats(out: str | Path) -> tuple[str, ...]:
    """Formats of the figures: png and svg, and also pdf if `out` ends in .pdf.

    `UserError` if `out` has the suffix of another image format.
    """
    suffix = Path(out).suffix.lower()
    if suffix in (".jpg", ".jpeg", ".gif", ".eps", ".ps", ".tif", ".tiff", ".webp", ".html"):
        raise UserError(f"figures are written as .png, .svg or .pdf, not as {suffix}; try --out frontier.png")
    return ("png", "svg", "pdf") if suffix == ".pdf" else ("png", "svg")


def _tasks(count: int, kind: str = "") -> str:
    return f"{count} {kind}task" + ("" if count == 1 else "s")


def _number(value: float | None) -> float | None:
    """The value rounded to 2 decimals for a table; None if it is None or NaN."""
    return None if value is None or math.isnan(value) else round(value, 2)


def _size_line(
    curve: Curve, kind: str, loss: float, edges: float, low: float | None, high: float | None, tasks: int
) -> dict[str, Any]:
    return {
        "model": curve.name,
        "kind": kind,
        "task_loss": round(loss, 6),
        "edges": _number(edges),
        "edges_low": _number(low),
        "edges_high": _number(high),
        "tasks": tasks,
    }
