"""A cell is the unit of work of a benchmark: one model, one task and one way to find circuits, which give some rows.

Its rows depend only on what it names. There are two kinds of cells: for circuits of nodes or edges, found by a pruner
(pruner_cells.py), and for circuits of components, found by a method of `discover` (component_cells.py). runner.py runs
both.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from eval_tasks.bench.subjects import Posed, Subject
from sparsegpt2.circuits import Circuit
from sparsegpt2.components import ComponentCircuit
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import Row, row_identity

TEST_SEED = 0
"""Seed of the test pairs, the same for every model, pruner, method and size."""

Made = tuple[Row, Circuit | ComponentCircuit | None]
"""A row, and its circuit if it has one."""


@dataclass(frozen=True)
class Cell(ABC):
    """A model and a task. The subclass adds how circuits are found and how large they may be."""

    subject: Subject
    posed: Posed

    def __str__(self) -> str:
        return f"{self.subject.name} · {self.posed.name} · {self.finder}, seed {self.seed}"

    @property
    @abstractmethod
    def finder(self) -> str:
        """Name of the pruner or method."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """Seed of the pruner or method."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Everything else that decides the rows' numbers, as it is after a round trip through JSON. It is part of the
        identity of every row."""

    @abstractmethod
    def finished(self, rows: Mapping[str, Row]) -> list[Row] | None:
        """The cell's rows among those of earlier runs (identity -> row); None unless all of them are there."""

    @abstractmethod
    def make(self, model: GPT, out: Path | None, progress: Progress | None) -> Iterator[Made]:
        """Compute every row of the cell with its circuit. The caller saves the circuit as `out`/`row.circuit`.

        out: the results folder, for files written while the cell runs, such as reports; None: write nothing.
        """

    def identity(self, target: float, settings: dict[str, Any]) -> str:
        """The identity of this cell's row for a target loss and settings, without making the row."""
        return row_identity(
            self.subject.fingerprint,
            self.posed.name,
            self.posed.fingerprint,
            self.finder,
            self.seed,
            target,
            settings,
        )

    def row(self, target: float, settings: dict[str, Any], **measured: Any) -> Row:
        """A row of this cell, with the measured fields."""
        return Row(
            model=self.subject.name,
            model_path=self.subject.path,
            fingerprint=self.subject.fingerprint,
            task=self.posed.name,
            task_fingerprint=self.posed.fingerprint,
            pruner=self.finder,
            seed=self.seed,
            target_loss=target,
            settings=settings,
            **self.subject.about,
            **measured,
        )

    def circuit_path(self, size: str, identity: str) -> str:
        """File for a row's circuit, relative to the results folder. Rows with other settings have other files.

        size: the requested size as part of the name, such as `-loss0.15`; may be empty.
        """
        name = f"{self.finder}-seed{self.seed}{size}-{identity[:8]}.json"
        return str(PurePosixPath("circuits", self.subject.name, self.posed.name, name))


def without_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with lists in place of tuples, as they are after a round trip through JSON."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
