"""A cell is a unit of work of a benchmark: one model, one task and one way to find circuits. It gives one row or more.

The rows depend only on the fields of the cell. There are two kinds of cells. In one kind a pruner finds circuits of
nodes or edges (pruner_cells.py). In the other a method of `discover` finds circuits of components (component_cells.py).
runner.py runs both.
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
    """One model and one task. A subclass adds how circuits are found."""

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
        """All settings that affect the numbers in the rows, except those that are fields of a row, such as the seed.
        They are part of the identity of every row.

        Values have the types that they have after a round trip through JSON: lists instead of tuples.
        """

    @abstractmethod
    def finished(self, rows: Mapping[str, Row]) -> list[Row] | None:
        """The cell's rows, if earlier runs have computed all of them; otherwise None.

        rows: identity -> row, all rows of earlier runs.
        """

    @abstractmethod
    def make(self, model: GPT, out: Path | None, progress: Progress | None) -> Iterator[Made]:
        """Compute every row of the cell and its circuit. The caller saves the circuit as `out`/`row.circuit`.

        out: the results folder. This method writes other files there, such as reports. None: write nothing.
        """

    def identity(self, target: float, settings: dict[str, Any]) -> str:
        """The identity that this cell's row with this target loss (nats) and these settings has."""
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
        """A row of this cell. measured: the remaining fields of `Row`, by name."""
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
        """Path of a row's circuit file, relative to the results folder. Different settings give different paths.

        size: part of the file name that says what was requested, such as `-loss0.15`; may be empty.
        """
        name = f"{self.finder}-seed{self.seed}{size}-{identity[:8]}.json"
        return str(PurePosixPath("circuits", self.subject.name, self.posed.name, name))


def without_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with lists instead of tuples, because JSON has no tuples."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
