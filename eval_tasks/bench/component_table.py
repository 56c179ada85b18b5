"""The tables of component circuits that a benchmark with `--components` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsegpt2.results import Row


def print_component_tables(rows: Sequence[Row]) -> None:
    """Print a table for each model and method that has rows of component circuits.

    A table has a row for each task and a column for each requested size of a circuit.
    """
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    for model, method in dict.fromkeys((row.model, row.pruner) for row in rows if row.of_components):
        chosen = [row for row in rows if row.of_components and (row.model, row.pruner) == (model, method)]
        console.print(component_table(chosen, f"Components: {model}, {method}"))


def component_table(rows: Sequence[Row], title: str) -> Any:
    """A rich table of the circuits of one model and method. Each entry has the number of edges that have an effect and
    KL(model || circuit) in nats."""
    from rich.table import Table

    asked = list(dict.fromkeys(asked_in(row) for row in rows if row.components is not None))
    of_model = next((row.components["edges_of_model"] for row in rows if row.components is not None), None)
    grid = Table(title=title, caption=f"edges (of {of_model or 'none'})  KL to the model in nats, on test pairs")
    grid.add_column("task", no_wrap=True)
    for heading in asked:
        grid.add_column(heading, justify="right")
    for task in dict.fromkeys(row.task for row in rows):
        found = {asked_in(row): row.components for row in rows if row.task == task and row.components is not None}
        cells = [f"{found[one]['edges']:,}  {found[one]['kl']:.4f}" if one in found else "" for one in asked]
        grid.add_row(task if found else f"[dim]{task}: unavailable[/dim]", *cells)
    return grid


def asked_in(row: Row) -> str:
    """The requested size of a component circuit, such as `sparsity 0.9`."""
    return ", ".join(f"{name} {value:g}" for name, value in row.settings["asked"].items())
