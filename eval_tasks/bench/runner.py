"""Run cells: find the rows that a results folder already has, compute the others and save them.

A benchmark may be interrupted at any point. The next run computes only the missing rows, with the same results.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from eval_tasks.bench.cells import Cell
from eval_tasks.bench.subjects import Posed, Subject
from sparsegpt2.circuits import Circuit
from sparsegpt2.circuits.locate import name_model
from sparsegpt2.components import ComponentCircuit
from sparsegpt2.files import inside
from sparsegpt2.model.checkpoint import load_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import Row, append_row, has_rows, read_rows, repair

SHAPES_KEPT = "64"
"""Number of shapes for which oneDNN keeps compiled code for bfloat16 matrix products; its default is 1024. Prompts and
circuits lead to ever more shapes, and the code for each takes about 0.2 MB of RAM. With 64, some code is compiled
again, which costs 8% of the time for a tiny model."""


class Runner:
    """Runs cells and keeps their rows. It holds only one model, and the prompt pairs of only one task, at a time."""

    def __init__(self, cells: Sequence[Cell], device: str, out: str | Path | None = None) -> None:
        """out: the results folder, created if missing; None: save nothing. `UserError` if its rows cannot be read."""
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES_KEPT)  # read when the first product is compiled
        self.device = device
        self.out = None if out is None else Path(out)
        self.known: dict[str, Row] = {} if self.out is None else finished_rows(self.out)
        """Identity -> row, for all rows of earlier runs and of this run."""
        self.missing = [cell for cell in cells if cell.finished(self.known) is None]
        """Cells of which at least one row is missing, in order."""
        self._model: tuple[str, GPT] | None = None
        self._posed: Posed | None = None

    def rows(self, cell: Cell, progress: Progress | None = None) -> list[Row]:
        """The cell's rows. They are computed now unless an earlier run has computed all of them."""
        finished = cell.finished(self.known)
        return self._make(cell, progress) if finished is None else finished

    def _make(self, cell: Cell, progress: Progress | None) -> list[Row]:
        """Compute every row of the cell, even if some exist.

        This is needed because the circuit sizes tried for one target loss may depend on those tried for earlier ones.
        """
        model = self._prepare(cell)
        rows = [self._keep(cell.subject, *made) for made in cell.make(model, self.out, progress)]
        give_back_memory()
        return rows

    def _keep(self, subject: Subject, row: Row, circuit: Circuit | ComponentCircuit | None) -> Row:
        """Save the row and its circuit, unless the row exists already, and return the saved row.

        The row is appended to the results only when the circuit's file is complete.
        """
        if row.identity in self.known:
            return self.known[row.identity]
        if self.out is None:
            row = replace(row, circuit=None)  # no file is written
        else:
            if circuit is not None and row.circuit is not None:
                circuit = name_model(circuit, subject.place, self.out / row.circuit, subject.fingerprint)
                circuit.save(inside(self.out, row.circuit))
            append_row(self.out, row)
        self.known[row.identity] = row
        return row

    def _prepare(self, cell: Cell) -> GPT:
        """The cell's model. Frees the previous cell's model and prompt pairs, unless this cell uses the same ones."""
        if self._posed is not None and self._posed is not cell.posed and self._posed.task is not None:
            self._posed.task.forget_pairs()
        self._posed = cell.posed
        if self._model is None or self._model[0] != cell.subject.path:
            self._model = None  # freed before the next one is loaded, so that RAM never holds two models
            self._model = cell.subject.path, load_model(cell.subject.path, self.device)
        return self._model[1]


def finished_rows(out: Path) -> dict[str, Row]:
    """Identity -> row, for the rows of earlier runs in the results folder `out`.

    Creates the folder if it is missing, and removes an incomplete last line of its results.
    """
    out.mkdir(parents=True, exist_ok=True)
    repair(out)
    if not has_rows(out):
        return {}
    return {row.identity: row for row in read_rows(out)}


def give_back_memory() -> None:
    """Return freed RAM to the operating system. Works with glibc only.

    It is needed because batches of varying length leave gaps in RAM, which the C library would otherwise keep.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
