"""Circuits of components, by any method, scored and put into results.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath
from typing import Any

from eval_tasks.bench.subjects import Posed, Subject, pose_tasks, read_subjects
from sparsegpt2.circuits import unpruned_loss
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, discover, get_method, score_circuits
from sparsegpt2.components.convert import circuit_weights
from sparsegpt2.components.counterfactual import FROM_PROMPTS
from sparsegpt2.components.find import Discovered
from sparsegpt2.components.score import ComponentScore
from sparsegpt2.config import to_dict
from sparsegpt2.lock import locked
from sparsegpt2.model.checkpoint import load_model
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results.results import RESULTS, Row, append_row, read_rows, repair, row_identity

TEST_SEED = 0
"""Seed of the test pairs: the same for every model, method and size."""
HAS_TASK = 0.15
"""A model has a task whose loss is under this (nats, the benchmark's usual target)."""

Progress = Callable[[int, int, str], None]


def discover_rows(
    models: Sequence[str | Path],
    tasks: Sequence[str],
    config: DiscoverConfig,
    settings: Any = None,
    *,
    out: str | Path | None = None,
    test_pairs: int = 128,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Iterator[Row]:
    """A row for each circuit of each model and task, as soon as it is there; with `out` also files.

    out/results.jsonl gets the rows, out/circuits the circuits. What is there already is not made again. `UserError` for
    a model, task or setting that cannot be used; a task that the tokenizer cannot pose or the prompts of which the
    model cannot read is a row that says so.
    """
    settings = get_method(config.method).settings() if settings is None else settings
    with nullcontext() if out is None else locked(out, "results folder"):
        yield from _rows(models, tasks, config, settings, out, test_pairs, device, progress)


def _rows(
    models: Sequence[str | Path],
    tasks: Sequence[str],
    config: DiscoverConfig,
    settings: Any,
    out: str | Path | None,
    test_pairs: int,
    device: str,
    progress: Progress | None,
) -> Iterator[Row]:
    finished: dict[str, Row] = {}
    if out is not None:
        repair(out)
        if (Path(out) / RESULTS).exists() and (Path(out) / RESULTS).stat().st_size:
            finished = {row.identity: row for row in read_rows(out)}
    for subject in read_subjects(models, device):
        model = load_model(subject.path, device)
        for posed in pose_tasks(subject.tokenizer, tasks):
            cell = _Cell(subject, posed, config, settings, test_pairs)
            known = [row for row in finished.values() if row.settings.get("run") == cell.run]
            if known:
                yield from known
                continue
            for row, circuit in cell.rows(model, progress):
                if out is not None:
                    if circuit is not None and row.circuit is not None:
                        circuit.save(Path(out) / row.circuit)
                    append_row(out, row)
                yield row


class _Cell:
    """One model, task and method."""

    def __init__(self, subject: Subject, posed: Posed, config: DiscoverConfig, settings: Any, test_pairs: int) -> None:
        self.subject, self.posed, self.config, self.settings = subject, posed, config, settings
        self.test_pairs = test_pairs
        own = {name: value for name, value in to_dict(config).items() if name not in ("method", "seed")}
        own = {**own, **{f"set.{name}": value for name, value in to_dict(settings).items()}, "test_pairs": test_pairs}
        self.own = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
        self.run = self._identity(self.own)
        """Hash of everything that decides the rows of this cell."""

    def rows(self, model: GPT, progress: Progress | None) -> Iterator[tuple[Row, ComponentCircuit | None]]:
        """Each circuit's row, with the circuit; a task that cannot be posed is one row without."""
        task = self.posed.task
        if task is None:
            yield self._row({}, status="unavailable", reason=self.posed.reason), None
            return
        found = discover(model, task, self.config, self.settings, progress)  # first, so that it shows all the memory
        loss_full = unpruned_loss(model, task, pairs=self.test_pairs, seed=TEST_SEED)
        scores = score_circuits(model, task, found.circuits, self.config, pairs=self.test_pairs, seed=TEST_SEED)
        for circuit, score in zip(found.circuits, scores, strict=True):
            circuit.info["model"] = self.subject.path
            row = self._row(
                circuit.info["asked"],
                status="discovered",
                has_task=loss_full < HAS_TASK,
                loss=score.loss,
                loss_full=score.loss_full,
                components=self._measures(model, found, circuit, score),
                seconds=found.seconds,
            )
            name = f"{self.config.method}-seed{self.config.seed}-{row.identity[:8]}.json"
            path = str(PurePosixPath("circuits", self.subject.name, self.posed.name, name))
            yield replace(row, circuit=path), circuit

    def _measures(
        self, model: GPT, found: Discovered, circuit: ComponentCircuit, score: ComponentScore
    ) -> dict[str, Any]:
        """The column set of component circuits; sizes are of the circuit without edges that do nothing."""
        acting = circuit.trimmed(from_inputs=self.config.intervention in FROM_PROMPTS)
        return {
            **circuit.info["asked"],
            "intervention": self.config.intervention,
            "objective": circuit.info["objective"],
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

    def _row(self, asked: dict[str, Any], **measured: Any) -> Row:
        fields: dict[str, Any] = {
            "model": self.subject.name,
            "model_path": self.subject.path,
            "fingerprint": self.subject.fingerprint,
            "task": self.posed.name,
            "task_fingerprint": self.posed.fingerprint,
            "pruner": self.config.method,
            "seed": self.config.seed,
            "target_loss": HAS_TASK,
            "settings": {**self.own, "run": self.run, "asked": asked},
        }
        return Row(**fields, **self.subject.about, **measured)

    def _identity(self, settings: dict[str, Any]) -> str:
        return row_identity(
            self.subject.fingerprint,
            self.posed.name,
            self.posed.fingerprint,
            self.config.method,
            self.config.seed,
            HAS_TASK,
            settings,
        )
