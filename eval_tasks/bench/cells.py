"""A cell: one model asked one thing about one task. Its rows depend on nothing but what they name.

There are two kinds: circuits of nodes and edges by a pruner (pruner_cells.py), and circuits of components by a method
of `discover` (component_cells.py). runner.py runs both.
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
"""Seed of the test pairs: the same for every model, pruner, method and size."""

Made = tuple[Row, Circuit | ComponentCircuit | None]
"""A row, and its circuit where it has one."""


@dataclass(frozen=True)
class Cell(ABC):
    """What is asked: a model, a task, and by its kind how circuits are found and how large they may be."""

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
        """The finder's seed."""

    @property
    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What else decides the rows' numbers, as JSON gives it back; part of every row's identity."""

    @abstractmethod
    def finished(self, rows: Mapping[str, Row]) -> list[Row] | None:
        """The cell's rows among those of earlier runs (by identity); None unless all of them are there."""

    @abstractmethod
    def make(self, model: GPT, out: Path | None, progress: Progress | None) -> Iterator[Made]:
        """Every row of the cell, each with its circuit, which is yet to be saved at `out`/`row.circuit`.

        out: the results folder, for what grows while the cell runs; None keeps nothing.
        """

    def identity(self, target: float, settings: dict[str, Any]) -> str:
        """The identity of this cell's row of a target loss and settings, known before the row is made."""
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
        """A row of this cell."""
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
        """Where a row's circuit is kept, relative to the results folder; other settings, another file.

        size: what the circuit was asked to be, such as `-loss0.15`; may be empty.
        """
        name = f"{self.finder}-seed{self.seed}{size}-{identity[:8]}.json"
        return str(PurePosixPath("circuits", self.subject.name, self.posed.name, name))


def without_tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
