"""Results as pandas data frames."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.results import read_rows

if TYPE_CHECKING:
    from pandas import DataFrame


def read_results(*folders: str | Path) -> DataFrame:
    """The rows of one or more results folders, in order, with a column for each field of `Row`.

    `settings` is a column of dicts. The column `folder` is the results folder of a row, to which the paths of circuits
    are relative. `UserError` as for `results.read_rows`.
    """
    import pandas

    rows = [{"folder": str(folder), **asdict(row)} for folder in folders for row in read_rows(folder)]
    return pandas.DataFrame(rows)
