"""Results as pandas data frames."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.results import read_rows

if TYPE_CHECKING:
    from pandas import DataFrame


def read_results(*folders: str | Path) -> DataFrame:
    """The rows of one or more results folders, read strictly, in order; a column for each field of `Row`.

    `settings` stays a column of dicts; `folder` says where a row came from, so that circuits can be found. Raises
    `UserError` as `report.results.read_rows` does.
    """
    import pandas

    rows = [{"folder": str(folder), **asdict(row)} for folder in folders for row in read_rows(folder)]
    return pandas.DataFrame(rows)
