"""Rows of results as a list with a short repr and a table in notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.results.markup import table
from sparsegpt2.results.rows import Row
from sparsegpt2.results.store import read_rows

if TYPE_CHECKING:
    from pandas import DataFrame

SHOWN = 60
"""Largest number of rows in a notebook's table. If there are more, its caption says how many."""
COLUMNS = ("model", "task", "pruner", "seed", "target_loss", "status", "reached", "nodes", "edges", "loss", "loss_full")


class Results(list[Row]):
    """A list of rows that a notebook shows as a table."""

    def __repr__(self) -> str:
        if not self:
            return "Results(no rows)"
        kinds = {
            what: sorted({str(row[name]) for row in self})
            for what, name in (("model", "model"), ("task", "task"), ("pruner", "pruner"), ("seed", "seed"))
        }
        counted = sum(row.counts for row in self)
        return f"Results({len(self)} rows, {counted} of them count: {', '.join(map(_said, kinds, kinds.values()))})"

    def _repr_html_(self) -> str:
        rows = [[row[name] for name in COLUMNS] for row in self[:SHOWN]]
        left = len(self) - len(rows)
        more = f"the first {SHOWN} of {len(self)} rows; to_pandas() has all" if left else f"{len(self)} rows"
        return table(COLUMNS, rows, more)

    def to_pandas(self) -> DataFrame:
        """A data frame with a column for each field of `Row`; `settings` is a column of dicts."""
        import pandas

        return pandas.DataFrame([asdict(row) for row in self])


def read_results(paths: Iterable[str | Path]) -> Results:
    """The rows of results folders (or of their files), in order; `UserError` as for `read_rows`."""
    return Results(row for path in paths for row in read_rows(path))


def _said(what: str, values: list[str]) -> str:
    """For example `model sparse-256` for one value and `4 models` for four."""
    return f"{what} {values[0]}" if len(values) == 1 else f"{len(values)} {what}s"
