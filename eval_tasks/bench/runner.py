"""Running cells: finds the rows that a results folder already has, computes the others and saves them.

A run may be interrupted at any point. The next one computes only the missing rows, with the same results.
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
from sparsegpt2.results import Row, append_row, has_rows, read_rows, repair

SHAPES_KEPT = "64"
"""Number of shapes for which oneDNN keeps compiled bfloat16 products; its default is 1024. Prompts and circuits have
ever new shapes, and each takes about 0.2 MB of RAM. Recompiling some of them costs a tiny model 8% of its time."""


class Runner:
    """Runs cells and knows their rows. It holds one model, and the pairs of one task, at a time."""

    def __init__(self, cells: Sequence[Cell], device: str, out: str | Path | None = None) -> None:
        """out: the results folder, created if missing; None saves nothing. `UserError` for rows that cannot be read."""
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", SHAPES_KEPT)  # read when the first product is compiled
        self.device = device
        self.out = None if out is None else Path(out)
        self.known: dict[str, Row] = {} if self.out is None else finished_rows(self.out)
        """Identity -> row, of earlier runs and of this one."""
        self.missing = [cell for cell in cells if cell.finished(self.known) is None]
        """Cells that lack a row, in order."""
        self._model: tuple[str, GPT] | None = None
        self._posed: Posed | None = None

    def rows(self, cell: Cell, progress: Progress | None = None) -> list[Row]:
        """The cell's rows, from an earlier run or else computed now."""
        finished = cell.finished(self.known)
        return self._make(cell, progress) if finished is None else finished

    def _make(self, cell: Cell, progress: Progress | None) -> list[Row]:
        """Compute every row of the cell, even if some exist, because the sizes tried for a target may depend on those
        tried before."""
        model = self._prepare(cell)
        rows = [self._keep(cell.subject, *made) for made in cell.make(model, self.out, progress)]
        give_back_memory()
        return rows

    def _keep(self, subject: Subject, row: Row, circuit: Circuit | ComponentCircuit | None) -> Row:
        """The saved row. A new row is appended to the results folder once the file of its circuit is complete."""
        if row.identity in self.known:
            return self.known[row.identity]
        if self.out is None:
            row = replace(row, circuit=None)  # no file is written
        else:
            if circuit is not None and row.circuit is not None:
                circuit = name_model(circuit, subject.place, self.out / row.circuit, subject.fingerprint)
                circuit.save(self.out / row.circuit)
            append_row(self.out, row)
        self.known[row.identity] = row
        return row

    def _prepare(self, cell: Cell) -> GPT:
        """The cell's model. Frees the model and the pairs of the previous cell unless this cell uses them too."""
        if self._posed is not None and self._posed is not cell.posed and self._posed.task is not None:
            self._posed.task.forget_pairs()
        self._posed = cell.posed
        if self._model is None or self._model[0] != cell.subject.path:
            self._model = None  # before the next is loaded, so that RAM never holds two
            self._model = cell.subject.path, load_model(cell.subject.path, self.device)
        return self._model[1]


def finished_rows(out: Path) -> dict[str, Row]:
    """Identity -> row of earlier runs. Creates `out` if missing and removes an incomplete last line."""
    out.mkdir(parents=True, exist_ok=True)
    repair(out)
    if not has_rows(out):
        return {}
    return {row.identity: row for row in read_rows(out)}


def give_back_memory() -> None:
    """Return freed RAM to the system (glibc only): batches of varying length leave gaps that the C library keeps."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
