"""Figures of component circuits. For each method, a curve shows how answers get worse when more edges are removed.

Only edges that have an effect are counted as kept: those on a path of kept edges to the logits. Their number is
`Row.components["edges"]`. The x axis shows the share of the model's edges that are not kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.report.style import GREY, add_note, look_of, save_figure, styled
from sparsegpt2.results import Row, component_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALLEST_KL = 1e-4
"""Smallest KL that is drawn, in nats. A circuit with a smaller KL is practically the same as the full model."""

Curves = dict[str, list[dict[str, Any]]]
"""Method -> the scores of its circuits (`Row.components`), sorted by increasing sparsity."""


def curves_of(rows: Iterable[Row], model: str, task: str) -> Curves:
    """The scores of each method's circuits for one model and task."""
    found: Curves = defaultdict(list)
    for row in component_rows(rows):
        if row.model == model and row.task == task and row.components is not None:
            found[row.pruner].append(row.components)
    return {method: sorted(found[method], key=lambda one: one["edge_sparsity"]) for method in sorted(found)}


def fewest_edges(circuits: Sequence[dict[str, Any]], kl: float) -> int | None:
    """The fewest edges among circuits whose KL is at most `kl` nats; None if there is no such circuit."""
    return min((one["edges"] for one in circuits if one["kl"] <= kl), default=None)


def draw_task(rows: Sequence[Row], task: str, models: Sequence[str]) -> Figure:
    """KL (upper panels) and accuracy (lower panels) against the share of removed edges, with one column per model."""
    from matplotlib.figure import Figure

    with styled():
        figure = Figure(figsize=(4.2 * len(models) + 0.6, 5.4), layout="constrained")
        panels = figure.subplots(2, len(models), sharex="col", sharey="row", squeeze=False)
        methods = sorted({row.pruner for row in component_rows(rows)})
        full = None
        for column, model in enumerate(models):
            for method, circuits in curves_of(rows, model, task).items():
                look = {**look_of(methods.index(method)), "markersize": 4}
                sparsity = [one["edge_sparsity"] for one in circuits]
                kl = [max(SMALLEST_KL, one["kl"]) for one in circuits]
                panels[0][column].plot(sparsity, kl, label=method.replace("_", " "), **look)
                panels[1][column].plot(sparsity, [one["accuracy"] for one in circuits], **look)
                full = circuits[0]
            if full is not None:
                panels[1][column].axhline(full["accuracy_full"], color=GREY, linewidth=0.8, linestyle=":")
                panels[0][column].set_title(f"{model} ({full['edges_of_model']} edges)", fontsize=9)
            panels[1][column].set_xlabel("share of edges removed")
        panels[0][0].set_yscale("log")
        panels[0][0].set_ylabel("KL(full || circuit), nats")
        panels[1][0].set_ylabel("accuracy")
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=3, title=task)
        note = "Test pairs; ablated edges carry activations of the other prompt. Dotted: accuracy of the full model."
        add_note(figure, note)
        return figure


def write_figures(rows: Sequence[Row], folder: str | Path) -> list[Path]:
    """Write a figure as PNG and SVG for each task that has component circuits. Returns the paths of the files.

    `UserError` if the rows contain no component circuits.
    """
    found = component_rows(rows)
    if not found:
        raise UserError("there are no component circuits in these results; make some with `sparsegpt2 discover --out`")
    models = list(dict.fromkeys(row.model for row in found))
    paths = []
    for task in sorted({row.task for row in found}):
        with_task = [model for model in models if curves_of(found, model, task)]
        paths += save_figure(draw_task(found, task, with_task), Path(folder) / f"components-{task}")
    return paths
