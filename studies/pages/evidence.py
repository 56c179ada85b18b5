"""Checks of circuits: necessity, and the sizes of circuits for nonsense and in random models."""

from __future__ import annotations

import math
from typing import Any

from sparsegpt2.results import Row
from studies.pages.models import MISSED, span
from studies.pages.registry import number
from studies.pages.rows import is_dense, rows_of, table

RANDOM_MODELS = ("random model, initial", "random model, permuted")
NONSENSE = "shuffled answers"


def checked(results: str, check: str, model: str = "") -> list[Row]:
    """Rows with this check: sparse models first, then by task and seed."""
    found = [row for row in rows_of(results) if finding(row, check) and model in ("", row.model)]
    return sorted(found, key=lambda row: (is_dense(row), row.model, row.task, row.seed))


def finding(row: Row, check: str) -> dict[str, Any]:
    """The finding of a check; empty if it was not run."""
    found: dict[str, Any] = (row.evidence or {}).get("findings", {}).get(check, {})
    return found


def measured(row: Row, check: str, name: str) -> float:
    """One number of a check."""
    return float(finding(row, check)["numbers"][name]["value"])


def with_error(row: Row, check: str, name: str) -> str:
    """One number of a check with its standard error, as text."""
    entry = finding(row, check)["numbers"][name]
    return f"{entry['value']:.2f}" + ("" if entry["error"] is None else f" ± {entry['error']:.2f}")


def control_edges(row: Row, name: str) -> int | None:
    """Edges of the same pruner's circuit for a control; None if no size meets the target."""
    made = finding(row, "controls")["details"][name][0]
    return int(made["edges"]) if made["reached"] else None


def times(row: Row, name: str) -> float:
    """How many times as many edges a control takes; infinite if no size meets the target."""
    edges = control_edges(row, name)
    return math.inf if edges is None else edges / max(1, row.edges or 1)


@number
def controls_table(results: str) -> str:
    """A line for each circuit whose controls were run."""
    head = ["model", "task", "edges", "shuffled answers", "random models", "without it", "without random sets"]

    def cell(row: Row, name: str) -> str:
        edges = control_edges(row, name)
        return "none" if edges is None else f"{edges:,} ({times(row, name):.1f})"

    lines = []
    for row in checked(results, "controls"):
        lines.append(
            [
                row.model,
                row.task,
                f"{row.edges:,}{MISSED if row.misses_on_test else ''}",
                cell(row, NONSENSE),
                ", ".join(dict.fromkeys(cell(row, name) for name in RANDOM_MODELS)),
                with_error(row, "necessity", "without circuit"),
                with_error(row, "necessity", "without random set"),
                finding(row, "necessity")["verdict"],
            ]
        )
    return table([*head, "necessity"], lines)


@number
def necessity_table(results: str) -> str:
    """A line for each model: how often its circuits are necessary, over tasks and pruning seeds, and the losses."""
    head = ["model", "circuits", "necessary", "unclear", "not", "loss without it", "loss without random sets"]
    lines = []
    for model in dict.fromkeys(row.model for row in checked(results, "necessity")):
        rows = checked(results, "necessity", model)
        verdicts = [finding(row, "necessity")["verdict"] for row in rows]
        lines.append(
            [
                model,
                str(len(rows)),
                *(str(verdicts.count(verdict)) for verdict in ("holds", "unclear", "fails")),
                span([measured(row, "necessity", "without circuit") for row in rows], 2),
                span([measured(row, "necessity", "without random set") for row in rows], 2),
            ]
        )
    return table(head, lines)


@number
def necessary(results: str, model: str) -> str:
    """In how many cases a model's circuits are necessary."""
    rows = checked(results, "necessity", model)
    return f"{sum(finding(row, 'necessity')['verdict'] == 'holds' for row in rows)} of {len(rows)}"


@number
def without(results: str, model: str, what: str) -> str:
    """The range of the loss without the `circuit`, or without a `random` set of its size."""
    name = "without circuit" if what == "circuit" else "without random set"
    return span([measured(row, "necessity", name) for row in checked(results, "necessity", model)], 2)


@number
def nonsense(results: str, model: str) -> str:
    """How many times as many edges shuffled answers take, where they can be pruned for at all."""
    found = [times(row, NONSENSE) for row in checked(results, "controls", model)]
    return span([each for each in found if math.isfinite(each)], 1)


@number
def controls_held(results: str) -> str:
    """For how many of the checked circuits every control needs at least five times as many edges."""
    rows = checked(results, "controls")
    return f"{sum(finding(row, 'controls')['verdict'] == 'holds' for row in rows)} of {len(rows)}"


@number
def made_evidence(results: str) -> str:
    """Where the rows with checks come from."""
    rows = checked(results, "necessity")
    seeds = ", ".join(map(str, sorted({row.seed for row in rows})))
    commits = ", ".join(sorted({row.commit.removesuffix("-dirty")[:7] for row in rows}))
    machines = "; ".join(sorted({row.machine for row in rows}))
    return f"pruning seeds {seeds}; {machines}; torch {rows[0].torch}; commits {commits}"
