"""The tables of verdicts that a benchmark with `--evidence` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sparsegpt2.evidence import check_names
from sparsegpt2.results import Row

MARKS = {"holds": "yes", "fails": "NO", "unclear": "?", "not run": "-"}


def print_verdicts(rows: Sequence[Row]) -> None:
    """Print a table of verdicts for each model, pruner and target loss that has rows with evidence.

    A table has a line for each circuit and a column for each check.
    """
    from rich.console import Console

    judged = [row for row in rows if row.evidence is not None]
    if not judged:
        return
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    for model, pruner, target in dict.fromkeys((row.model, row.pruner, row.target_loss) for row in judged):
        chosen = [row for row in judged if (row.model, row.pruner, row.target_loss) == (model, pruner, target)]
        console.print(verdict_table(chosen, f"Evidence: {model}, {pruner} pruner, target loss {target:g} nats"))


def verdict_table(rows: Sequence[Row], title: str) -> Any:
    """A rich table of rows that have evidence. Each line has the verdicts of a row's checks and its overall verdict."""
    from rich.table import Table

    found = [(row, (row.evidence or {})["findings"]) for row in rows]
    names = [name for name in check_names() if any(name in findings for _, findings in found)]
    caption = "yes: holds, NO: fails, ?: within two standard errors of the threshold, -: not run"
    grid = Table(title=title, caption=caption)
    for heading in ("task", "seed", *names, "verdict"):
        grid.add_column(heading)
    for row, findings in found:
        marks = [MARKS[findings[name]["verdict"]] if name in findings else "" for name in names]
        grid.add_row(row.task, str(row.seed), *marks, (row.evidence or {})["verdict"])
    return grid
