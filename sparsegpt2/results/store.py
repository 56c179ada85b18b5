"""The file `results.jsonl` of a results folder, one row per line: reading, appending, repairing, merging, packing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import write_text
from sparsegpt2.lock import appending, locked
from sparsegpt2.plain import read_bytes
from sparsegpt2.results.lines import parse_row, row_line
from sparsegpt2.results.packed import PACKED, unpacked, write_packed
from sparsegpt2.results.rows import Row

RESULTS = "results.jsonl"
"""Name of the file inside a results folder."""


def results_files(path: str | Path) -> list[Path]:
    """The files of a results folder, packed rows first, or `path` itself if it is a file; `UserError` if none."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise UserError(f"results folder {path} does not exist; make it with `sparsegpt2 bench MODEL --out {path}`")
    found = [path / name for name in (PACKED, RESULTS) if (path / name).is_file()]
    if not found:
        raise UserError(f"{path} holds no {RESULTS}; give a folder written by `sparsegpt2 bench`")
    return found


def has_rows(folder: str | Path) -> bool:
    """Whether a folder has a file of rows that is not empty."""
    files = [Path(folder) / name for name in (PACKED, RESULTS)]
    return any(file.is_file() and file.stat().st_size for file in files)


def read_rows(path: str | Path) -> list[Row]:
    """All rows of a results folder or file, in order: packed rows first, then those of `results.jsonl`.

    `UserError` with file and line for a truncated line and for a missing, unknown or mistyped field. `UserError` if
    there are no rows.
    """
    rows, files = [], results_files(path)
    for file in files:
        try:
            text = _content(file).decode("utf-8")
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not UTF-8 text ({error}), so it is not a results file") from None
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                rows.append(parse_row(line, f"{file} line {number}"))
    if not rows:
        raise UserError(f"{files[-1]} holds no results yet; run `sparsegpt2 bench` first")
    return rows


def _content(file: Path) -> bytes:
    """The content of a file of rows.

    Another process may be appending a line, so if the last one is unfinished, this waits for it for up to 0.5 seconds.
    """
    if file.suffix == ".gz":
        return unpacked(file)
    data = read_bytes(file, "results file")
    until = time.monotonic() + 0.5
    while data and not data.endswith(b"\n") and time.monotonic() < until:
        time.sleep(0.01)
        data = read_bytes(file, "results file")
    return data


def append_row(folder: str | Path, row: Row) -> None:
    """Append a row to the file of a results folder, and wait until it is on disk."""
    data = row_line(row).encode("utf-8")  # first, so that a row that JSON cannot hold fails before the file is opened
    with appending(Path(folder) / RESULTS) as descriptor:
        while data:  # usually one write; the system may accept only part of the data
            data = data[os.write(descriptor, data) :]


def repair(folder: str | Path) -> bool:
    """Remove an incomplete last line (without a newline), left by an interruption; returns whether there was one.

    The row that was being written counts as missing, and the benchmark computes it again.
    """
    file = Path(folder) / RESULTS
    if not file.exists() or file.read_bytes()[-1:] in (b"", b"\n"):
        return False
    with appending(file):  # removes the line, unless a running writer has completed it meanwhile
        return True


def merge_results(folders: Iterable[str | Path], out: str | Path) -> list[Row]:
    """Merge the rows of `folders`, which are inside `out`, into `out`/results.jsonl; returns the merged rows.

    Circuit files are not moved; their paths are rewritten relative to `out`. Other rows of `out` are kept.
    """
    rows = []
    for folder in folders:
        place = Path(folder).relative_to(out)
        rows += [replace(row, circuit=row.circuit and (place / row.circuit).as_posix()) for row in read_rows(folder)]
    with locked(out, "results folder"):
        file, merged = Path(out) / RESULTS, {row.identity for row in rows}
        earlier = read_rows(file) if file.exists() and file.stat().st_size else []
        rows = [row for row in earlier if row.identity not in merged] + rows
        write_text(file, "".join(map(row_line, rows)))
    return rows


def pack_rows(folder: str | Path) -> Path:
    """Move all rows of a results folder, in order and as they were written, into its packed file; returns its path.

    `UserError` if the folder has no rows or one that cannot be read.
    """
    path = Path(folder) / PACKED
    with locked(folder, "results folder"):
        read_rows(folder)
        write_packed(path, b"".join(map(_content, results_files(folder))))
        (Path(folder) / RESULTS).unlink(missing_ok=True)
    return path
