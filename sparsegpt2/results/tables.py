"""Tables as files and as text for a terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sparsegpt2.files import write_text

Table = list[dict[str, Any]]
"""Rows of a table, all with the same keys in the same order."""


def write_table(path: str | Path, table: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table as CSV with a header; unknown values are empty fields. Returns the path."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(table[0]) if table else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_text(path, buffer.getvalue())
    return Path(path)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """`rows` as lines of text with aligned columns; the first row holds the titles."""
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
