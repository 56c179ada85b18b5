"""Committed rows by folder, and the models in them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from sparsegpt2.results import (
    DENSE_FROM,
    ModelResult,
    Row,
    choose_pruner,
    choose_target,
    load_results,
    model_results,
)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
FOLDERS = {name: RESULTS / name for name in ("main", "family", "quickstart")}
"""Name of a set of results in markers -> its folder."""


@cache
def rows_of(results: str) -> tuple[Row, ...]:
    """The current rows of one set of results."""
    return tuple(load_results([FOLDERS[results]]))


@cache
def usual(results: str) -> tuple[str, float]:
    """(pruner, target loss in nats) that tables are for, unless they say otherwise."""
    rows = rows_of(results)
    return choose_pruner(rows), choose_target(rows)


@cache
def targets(results: str) -> tuple[float, ...]:
    """Target losses of the usual pruner, largest first."""
    return tuple(sorted({row.target_loss for row in rows_of(results) if row.pruner == usual(results)[0]}, reverse=True))


@cache
def models(results: str, pruner: str = "", target: str = "", side_edges: bool = False) -> dict[str, ModelResult]:
    """Name -> model: dense ones first, each kind by held-out loss. side_edges: count them as edges."""
    rows = rows_of(results)
    if side_edges:
        rows = tuple(
            replace(row, edges=row.edges + sum((row.side_edges or {}).values())) if row.edges is not None else row
            for row in rows
        )
    chosen = model_results(rows, pruner or usual(results)[0], float(target) if target else usual(results)[1])
    found = sorted(chosen, key=lambda model: (not model.is_dense, model.row.held_out_loss))
    return {model.name: model for model in found}


def is_dense(row: Row) -> bool:
    """Whether a row is of a dense baseline."""
    return row.density >= DENSE_FROM


def table(head: list[str], lines: list[list[str]], align: str = "---") -> str:
    """A Markdown table. align: the mark below every title but the first."""
    marks = ["---", *[align] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, marks, *lines))
