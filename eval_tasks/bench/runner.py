"""Runs cells into a results folder: finds the rows that are there, makes the others and keeps them.

A run may be interrupted anywhere: the next one makes only the rows that are missing, and makes them the same.
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
from sparsegpt2.model.checkpoint import load_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import RESULTS, Row, append_row, read_rows, repair

SHAPES_KEPT = "64"
"""For how many shapes oneDNN keeps its compiled products in bfloat16; by itself 1024. Prompts of every length and
circuits of every size bring ever new ones, at about 0.2 MB each. Compiling some of them again costs a tiny model 8% of
its time."""


class Runner:
    """Cells and the rows there are of them; holds one model, and the pairs of one task, at a time."""

    def __init__(self, cells: Sequence[Cell], device: str, out: str | Path | None = None) -> None:
        """out: the results folder, created if need be; None keeps nothing. `UserError` for rows that cannot be read."""
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES_KEPT)  # read at the first such product
        self.device = device
        self.out = None if out is None else Path(out)
        self.known: dict[str, Row] = {} if self.out is None else finished_rows(self.out)
        """Rows by identity: those of earlier runs, then those made here too."""
        self.missing = [cell for cell in cells if cell.finished(self.known) is None]
        """Cells of which a row is missing, in order."""
        self._model: tuple[str, GPT] | None = None
        self._posed: Posed | None = None

    def rows(self, cell: Cell, progress: Progress | None = None) -> list[Row]:
        """The cell's rows: as they were found, or else made now."""
        finished = cell.finished(self.known)
        return self._make(cell, progress) if finished is None else finished

    def _make(self, cell: Cell, progress: Progress | None) -> list[Row]:
        """Every row of the cell, even if some are there: the sizes that one tries may depend on those before it."""
        model = self._prepare(cell)
        rows = [self._keep(cell.subject, *made) for made in cell.make(model, self.out, progress)]
        give_back_memory()
        return rows

    def _keep(self, subject: Subject, row: Row, circuit: Circuit | ComponentCircuit | None) -> Row:
        """The row as the results folder has it; a new one is added there, after its circuit's file is complete."""
        if row.identity in self.known:
            return self.known[row.identity]
        if self.out is None:
            row = replace(row, circuit=None)  # names no file that is not there
        else:
            if circuit is not None and row.circuit is not None:
                name_model(circuit, subject.place, self.out / row.circuit, subject.fingerprint)
                circuit.save(self.out / row.circuit)
            append_row(self.out, row)
        self.known[row.identity] = row
        return row

    def _prepare(self, cell: Cell) -> GPT:
        """The cell's model; the model and the pairs of the cell before are let go of unless this one shares them."""
        if self._posed is not None and self._posed is not cell.posed and self._posed.task is not None:
            self._posed.task.forget_pairs()
        self._posed = cell.posed
        if self._model is None or self._model[0] != cell.subject.path:
            self._model = None  # before the next is loaded, so that memory never holds two
            self._model = cell.subject.path, load_model(cell.subject.path, self.device)
        return self._model[1]


def finished_rows(out: Path) -> dict[str, Row]:
    """Rows of earlier runs by identity; makes `out` if need be, and cuts off a line torn by an interruption."""
    out.mkdir(parents=True, exist_ok=True)
    repair(out)
    if not (out / RESULTS).exists() or not (out / RESULTS).stat().st_size:
        return {}
    return {row.identity: row for row in read_rows(out)}


def give_back_memory() -> None:
    """Return freed memory to the system where the C library can: batches of every length leave gaps that it keeps."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
