"""Tables as files and as text for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from sparsegpt2.files import write_text

FORMULA = ("=", "+", "-", "@")
"""The first characters of a cell that spreadsheets take for a formula."""

Table = list[dict[str, Any]]
"""Rows of a table, all with the same keys in the same order."""


def write_table(path: str | Path, table: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table as CSV with a header; unknown values are empty fields. Returns the path."""
    buffer = io.StringIO()
    write_cells(buffer, list(table[0]) if table else [], table)
    write_text(path, buffer.getvalue())
    return Path(path)


def write_cells(file: IO[str], columns: Sequence[str], table: Iterable[Mapping[str, Any]]) -> None:
    """Write a header and lines of CSV. A text that a spreadsheet would run as a formula gets an apostrophe first."""
    writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
    writer.writerow({column: _inert(column) for column in columns})
    writer.writerows({column: _inert(value) for column, value in line.items()} for line in table)


def _inert(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.replace("\r", " ")  # which Python's csv does not quote
    return f"'{value}" if value.lstrip().startswith(FORMULA) else value


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """`rows` as lines of text with aligned columns; the first row holds the titles."""
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
