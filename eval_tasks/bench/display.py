"""What a benchmark prints: a line for each finished cell, and at the end a table for each pruner and target loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eval_tasks.bench.component_table import asked_in
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.results import ModelResult, Row, TaskResult, model_results, shared_tasks

ABREAST = 5
"""Largest number of models in one table."""
PARTS = 1000
"""Number of steps in the progress of one cell."""
LOG_WIDTH = 160
"""Width in characters of a table that is not printed to a terminal."""
MISSED = "†"
"""Mark for the loss of a circuit that counts towards the mean size, because it meets its target on validation pairs,
but misses the target on test pairs."""


class Display:
    """Shows the progress of a benchmark: a line for each finished cell, how many cells are done, and the time left."""

    def __init__(self, cells: int, *, enabled: bool) -> None:
        self.cells, self.done, self.cell = cells, 0, ""
        self.progress = ProgressDisplay("bench", enabled=enabled and cells > 0)

    def __enter__(self) -> Display:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.progress.close(finished=kind is None)

    def begin(self, cell: str) -> None:
        """Start a cell. cell: a short description of it."""
        self.cell = cell
        self.inside(0, 1, "")

    def inside(self, done: int, total: int, what: str) -> None:
        """Report progress within the cell (a `Progress`). It fills at most 9/10 of the cell's share of the bar. The
        rest is left for scoring, which reports no progress."""
        part = int(PARTS * 0.9 * min(1.0, done / max(1, total)))
        self.progress(max(self.progress.done, self.done * PARTS + part), self.cells * PARTS, f"{self.cell}  {what}")

    def end(self, rows: Sequence[Row]) -> None:
        """Finish the cell and print one line about its rows."""
        self.done += 1
        results = "; ".join(dict.fromkeys(_outcome(row) for row in rows))
        self.progress(self.done * PARTS, self.cells * PARTS, self.cell)
        left = f"  {self.progress.left}" if self.progress.left else ""
        self.progress.line(f"{self.done}/{self.cells}  {self.cell}: {results}{left}")


def print_tables(rows: Sequence[Row]) -> None:
    """Print a table for each pruner and target loss.

    A table has a row for each task, a column for each model, and geometric means in its footer.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=LOG_WIDTH)
    rows = [row for row in rows if not row.of_components]
    for pruner in dict.fromkeys(row.pruner for row in rows):
        for target in sorted({row.target_loss for row in rows}, reverse=True):
            models = model_results(rows, pruner, target)
            title = f"{pruner} pruner, target loss {target:g} nats"
            for start in range(0, len(models), ABREAST):
                console.print(table(models[start : start + ABREAST], shared_tasks(models), title))


def table(models: Sequence[ModelResult], shared: Sequence[str], title: str) -> Any:
    """A rich table. An entry has the edges of a circuit, its test loss and, in parentheses, the unpruned model's loss.

    shared: tasks that count for every model of the benchmark, including models in other tables.
    """
    from rich.table import Table

    tasks = sorted({task for model in models for task in model.tasks})
    grid = Table(title=title, caption=_caption(models), show_footer=True)
    grid.add_column("task", footer="geometric mean\nover shared tasks", no_wrap=True)
    for model in models:
        own, common = model.size(), model.size(shared)
        has = f"has {len(model.had)} of {len(model.tasks)}"
        foot = f"{_edges(own.value)} over {own.tasks} ({has})\n{_edges(common.value)} over {common.tasks}"
        grid.add_column(model.name, justify="right", footer=foot)
    for task in tasks:
        grid.add_row(task, *(_cell(model.tasks.get(task)) for model in models))
    return grid


def _caption(models: Sequence[ModelResult]) -> str:
    """The caption. It explains the entries and says how many circuits in the means miss the target on test pairs."""
    missed = sum(row.misses_on_test for model in models for result in model.tasks.values() for row in result.rows)
    counted = sum(row.counts for model in models for result in model.tasks.values() for row in result.rows)
    note = f"\n{MISSED} misses its target on test pairs: {missed} of {counted} counted circuits" if missed else ""
    return f"edges  loss (unpruned loss), on test pairs{note}"


def _outcome(row: Row) -> str:
    if row.status == "unavailable":
        return f"unavailable: {row.reason}"
    if row.status == "lacks the task":
        return f"lacks the task ({row.loss_full:.3f}, not below {row.target_loss:g})"
    if row.components is not None:
        return f"{row.components['edges']:,} edges, KL {row.components['kl']:.4f} at {asked_in(row)}"
    missed = ", missed on test pairs" if row.misses_on_test else "" if row.reached else ", target missed"
    return f"{row.edges:,} edges, loss {row.loss:.3f} ({row.loss_full:.3f}) at {row.target_loss:g}{missed}"


def _cell(result: TaskResult | None) -> str:
    if result is None:
        return ""
    if result.status == "unavailable":
        return "[dim]unavailable[/dim]"
    if result.status == "lacks the task":
        return f"[dim]lacks the task ({result.loss_full:.3f})[/dim]"
    mark = MISSED if result.misses_on_test else ""
    text = f"{_edges(result.edges() or 0)}  {result.loss:.3f}{mark} ({result.loss_full:.3f})"
    return text if result.counts else f"[dim]{text}, target missed[/dim]"


def _edges(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:,.0f}"
