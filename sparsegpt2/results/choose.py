"""Choose rows (the current ones, or those of component circuits), a pruner and a target loss."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from sparsegpt2.config import require
from sparsegpt2.results.rows import Row
from sparsegpt2.results.store import read_rows

USUAL_TARGET = 0.15
"""Target loss in nats of Gao et al. 2025 (arXiv 2511.13653), used if no other is given."""


def current_rows(rows: Iterable[Row]) -> list[Row]:
    """One row for each (model, task, pruner, seed, target loss).

    Several rows can share these five, for example if their settings differ. Then the last of them is taken.

    Two kinds of rows are left out: those of a model that has since been retrained at the same path, and those of
    component circuits, whose sizes cannot be compared with those of other circuits (`component_rows` selects these).
    """
    rows = [row for row in rows if not row.of_components]
    newest = {row.model_path: row.fingerprint for row in rows}
    latest = {
        (row.fingerprint, row.task, row.pruner, row.seed, row.target_loss): row
        for row in rows
        if newest[row.model_path] == row.fingerprint
    }
    return list(latest.values())


def component_rows(rows: Iterable[Row]) -> list[Row]:
    """The rows of component circuits: for each identity, the last."""
    return list({row.identity: row for row in rows if row.status == "discovered"}.values())


def load_results(paths: Iterable[str | Path]) -> list[Row]:
    """The current rows of several results folders.

    Of two rows with the same model, task, pruner, seed and target loss, the one from the later folder is kept.
    """
    paths = list(paths)
    require(bool(paths), "give at least one results folder, as written by `sparsegpt2 bench`")
    latest = {}
    for path in paths:
        for row in current_rows(read_rows(path)):
            latest[row.fingerprint, row.task, row.pruner, row.seed, row.target_loss] = row
    return list(latest.values())


def choose_pruner(rows: Sequence[Row], pruner: str | None = None) -> str:
    """The given pruner; by default `node` if `rows` has it, else the first by name. rows: at least one.

    `UserError` if no row has the given pruner.
    """
    there = sorted({row.pruner for row in rows})
    if pruner is None:
        pruner = "node" if "node" in there else there[0]
    require(pruner in there, f"there are no results of the pruner {pruner!r}, only of {', '.join(there)}")
    return pruner


def choose_target(rows: Sequence[Row], target_loss: float | None = None) -> float:
    """The given target loss (nats); by default the one in `rows` nearest to 0.15. rows: at least one.

    `UserError` if no row has the given target loss.
    """
    there = sorted({row.target_loss for row in rows})
    if target_loss is None:
        return min(there, key=lambda target: abs(math.log(target / USUAL_TARGET)))
    listed = ", ".join(f"{target:g}" for target in there)
    require(target_loss in there, f"there are no results for the target loss {target_loss:g}, only for {listed}")
    return target_loss


def display_names(rows: Iterable[Row]) -> dict[str, str]:
    """Fingerprint -> name of the model, followed by the start of the fingerprint if two models share a name."""
    names = {row.fingerprint: row.model for row in rows}
    taken = list(names.values())
    return {
        fingerprint: name if taken.count(name) == 1 else f"{name} ({fingerprint[:6]})"
        for fingerprint, name in names.items()
    }
