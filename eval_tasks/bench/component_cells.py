"""Cells whose circuits are made of components (heads, MLPs), found by a method of `discover`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from eval_tasks.bench.cells import TEST_SEED, Cell, Made, without_tuples
from sparsegpt2.circuits import unpruned_loss
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, discover, get_method, score_circuits
from sparsegpt2.components.convert import circuit_weights
from sparsegpt2.components.counterfactual import FROM_PROMPTS
from sparsegpt2.components.find import Discovered
from sparsegpt2.components.score import ComponentScore
from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import USUAL_TARGET, Row

HAS_TASK = USUAL_TARGET
"""A model has a task if its task loss is below this, in nats."""


@dataclass(frozen=True)
class ComponentCell(Cell):
    """One model, one task and one method, which may find several circuits. Each circuit gives a row."""

    config: DiscoverConfig
    own: Any
    """The method's own settings (its `Settings`)."""
    test_pairs: int

    @property
    def finder(self) -> str:
        return self.config.method

    @property
    def seed(self) -> int:
        return self.config.seed

    @property
    def settings(self) -> dict[str, Any]:
        shared = {name: value for name, value in to_dict(self.config).items() if name not in ("method", "seed")}
        own = {f"set.{name}": value for name, value in to_dict(self.own).items()}
        settings = without_tuples({**shared, **own, "test_pairs": self.test_pairs})
        if source := get_method(self.config.method).fingerprint:  # a user's own file; editing it makes old rows invalid
            settings["method_source"] = source
        return settings

    @cached_property
    def run(self) -> str:
        """Hash of everything that affects the rows of this cell. The settings of each row contain it."""
        return self.identity(HAS_TASK, self.settings)

    def finished(self, rows: Mapping[str, Row]) -> list[Row] | None:
        """As in `Cell`. The number of circuits is not known before the method has run, so each row records it."""
        found = [row for row in rows.values() if row.settings.get("run") == self.run]
        said = [(row.components or {}).get("circuits_of_run", 1) for row in found]
        return found if found and len(found) >= max(said) else None

    def make(self, model: GPT, out: Path | None, progress: Progress | None) -> Iterator[Made]:
        """A row for each circuit, or one without a circuit if the task is unavailable or its prompts are too long."""
        task = self.posed.task
        try:
            if task is None:
                raise UserError(self.posed.reason)
            task_batch(model, task, "train", self.config.pairs, self.config.seed)
        except UserError as error:
            yield self._row({}, status="unavailable", reason=str(error)), None
            return
        # Scoring comes later, because the RAM that it leaves behind would distort the peak that `discover` records.
        found = discover(model, task, self.config, self.own, progress)
        loss_full = unpruned_loss(model, task, pairs=self.test_pairs, seed=TEST_SEED)
        scores = score_circuits(model, task, found.circuits, self.config, pairs=self.test_pairs, seed=TEST_SEED)
        for circuit, score in zip(found.circuits, scores, strict=True):
            row = self._row(
                circuit.info.asked or {},
                status="discovered",
                has_task=loss_full < HAS_TASK,
                loss=score.loss,
                loss_full=score.loss_full,
                components=self._measures(model, found, circuit, score),
                seconds=found.seconds,
            )
            yield replace(row, circuit=self.circuit_path("", row.identity)), circuit

    def _row(self, asked: dict[str, Any], **measured: Any) -> Row:
        return self.row(HAS_TASK, {**self.settings, "run": self.run, "asked": asked}, **measured)

    def _measures(
        self, model: GPT, found: Discovered, circuit: ComponentCircuit, score: ComponentScore
    ) -> dict[str, Any]:
        """The value of `Row.components`. All sizes except `edges_kept` leave out edges that have no effect."""
        acting = circuit.trimmed(from_inputs=self.config.intervention in FROM_PROMPTS)
        return {
            **(circuit.info.asked or {}),
            "intervention": self.config.intervention,
            "objective": circuit.info.objective,
            "edges_kept": circuit.n_edges,
            "edges": acting.n_edges,
            "edges_of_model": circuit.graph.n_edges,
            "edge_sparsity": acting.sparsity,
            "nodes": len(acting.nodes),
            "node_sparsity": acting.node_sparsity,
            "weights": circuit_weights(model, acting.kept),
            **asdict(score),
            "megabytes": found.megabytes,
            "circuits_of_run": len(found.circuits),
        }
