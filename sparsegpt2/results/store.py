"""A results folder's `results.jsonl`, a row on each line: reading, appending, repairing, joining."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import write_text
from sparsegpt2.lock import appending, locked
from sparsegpt2.results.lines import parse_row, row_line
from sparsegpt2.results.rows import Row

RESULTS = "results.jsonl"
"""Name of the file inside a results folder."""


def results_file(path: str | Path) -> Path:
    """`results.jsonl` of a results folder, or the file itself when `path` is one; `UserError` when there is none."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.exists():
        raise UserError(f"results folder {path} does not exist; make it with `sparsegpt2 bench MODEL --out {path}`")
    if not (path / RESULTS).is_file():
        raise UserError(f"{path} holds no {RESULTS}; give a folder written by `sparsegpt2 bench`")
    return path / RESULTS


def read_rows(path: str | Path) -> list[Row]:
    """Every row of a results folder or file, in order.

    `UserError` naming file and line for a truncated line, a missing, unknown or mistyped field; also for no rows.
    """
    file = results_file(path)
    data = file.read_bytes()
    until = time.monotonic() + 0.5
    while data and not data.endswith(b"\n") and time.monotonic() < until:  # a row that is being appended just now
        time.sleep(0.01)
        data = file.read_bytes()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}); it is no results file") from None
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(parse_row(line, f"{file} line {number}"))
    if not rows:
        raise UserError(f"{file} holds no results yet; run `sparsegpt2 bench` first")
    return rows


def append_row(folder: str | Path, row: Row) -> None:
    """Add one complete line to a results folder's file and wait until it is on disk."""
    data = row_line(row).encode("utf-8")  # before the file is opened: a row that JSON cannot hold leaves no trace
    with appending(Path(folder) / RESULTS) as descriptor:
        while data:  # one write in practice; a full disk may take it in parts
            data = data[os.write(descriptor, data) :]


def repair(folder: str | Path) -> bool:
    """Cut off a last line torn by an interruption (no newline at its end); whether there was one.

    The row that was being written is then simply not finished, and is made again.
    """
    file = Path(folder) / RESULTS
    if not file.exists() or file.read_bytes()[-1:] in (b"", b"\n"):
        return False
    with appending(file):  # which cuts it off, unless its writer lives and has finished it meanwhile
        return True


def merge_results(folders: Iterable[str | Path], out: str | Path) -> list[Row]:
    """Make `out`/results.jsonl hold every row of `folders`, which lie inside `out`; its rows.

    Circuits stay where they are, and the rows say where that is from `out`. Rows that `out` has beyond those stay.
    """
    rows = []
    for folder in folders:
        place = Path(folder).relative_to(out)
        rows += [replace(row, circuit=row.circuit and (place / row.circuit).as_posix()) for row in read_rows(folder)]
    with locked(out, "results folder"):
        file, merged = Path(out) / RESULTS, {row.identity for row in rows}
        earlier = read_rows(out) if file.exists() and file.stat().st_size else []
        rows = [row for row in earlier if row.identity not in merged] + rows
        write_text(file, "".join(map(row_line, rows)))
    return rows
