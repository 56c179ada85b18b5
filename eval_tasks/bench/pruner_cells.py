"""Cells whose circuits are made of nodes or edges and are found by a pruner.

A cell is one model, task, pruner and seed, with one target loss or more. The nodes are ranked once, and the circuit for
each target loss is taken from that ranking. Pruning uses train and validation pairs of the task. Scores are measured on
test pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eval_tasks.base import PosedTask
from eval_tasks.bench.cells import TEST_SEED, Cell, Made, without_tuples
from sparsegpt2.circuits import (
    Circuit,
    LossCurve,
    PruneConfig,
    Ranking,
    Score,
    Task,
    circuit_at,
    evaluate,
    rank_nodes,
    unpruned_loss,
)
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.pruners import pruner_fingerprint
from sparsegpt2.circuits.tune import tune
from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.evidence import EvidenceConfig, collect_evidence, report_path
from sparsegpt2.evidence.registry import check_sources
from sparsegpt2.locate import model_directory
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.results import Row
from sparsegpt2.text.training_text import training_text

TUNING = "tuning.journal"
"""File in a results folder in which Optuna records all trials of all searches for pruning settings."""

Ranker = Callable[[GPT, Task, PruneConfig, Progress | None], Ranking]
"""A function that ranks the nodes of a model for a task: `rank_nodes`, or a `SharedRanking`."""


@dataclass(frozen=True)
class PrunerCell(Cell):
    """One model, task, pruner and seed, and the target losses of its circuits."""

    prune: PruneConfig
    """Pruner, seed and all other pruning settings. Its `target_loss` is the target that the nodes are ranked for."""
    targets: tuple[float, ...]
    """Target losses (nats) in decreasing order. Each gives one row."""
    test_pairs: int
    trials: int = 0
    """Number of trials in a search for the best pruning settings; 0: use `prune` unchanged."""
    check: EvidenceConfig | None = None
    """Settings of the faithfulness checks; None: no checks."""
    rank: Ranker | None = None
    """The function that ranks the nodes; None: `rank_nodes`."""

    @property
    def finder(self) -> str:
        return self.prune.pruner

    @property
    def seed(self) -> int:
        return self.prune.seed

    @property
    def settings(self) -> dict[str, Any]:
        own = without_tuples(to_dict(self.prune))
        settings = {"ranking_target": own.pop("target_loss"), "test_pairs": self.test_pairs, **own}
        del settings["pruner"], settings["seed"]  # fields of the row
        settings |= {"tune": self.trials} if self.trials else {}
        if source := pruner_fingerprint(self.prune.pruner):  # a user's own file; editing it makes old rows invalid
            settings["pruner_source"] = source
        if self.check is not None:
            settings["evidence"] = without_tuples(to_dict(self.check))
            if sources := check_sources(self.check.checks):
                settings["check_sources"] = sources
        return settings

    def finished(self, rows: Mapping[str, Row]) -> list[Row] | None:
        settings = self.settings
        found = [rows.get(self.identity(target, settings)) for target in self.targets]
        there = [row for row in found if row is not None]
        return there if len(there) == len(found) else None

    def make(self, model: GPT, out: Path | None, progress: Progress | None) -> Iterator[Made]:
        """A row for each target loss, with status `pruned` or `lacks the task`.

        If the task is unavailable or its prompts are too long for the model, all rows have the status `unavailable`.
        """
        settings, task = self.settings, self.posed.task
        try:
            loss_full, had = self.standing(model)
        except UserError as error:
            for target in self.targets:
                yield self.row(target, settings, status="unavailable", reason=str(error)), None
            return
        for target in self.targets:
            if target not in had:
                yield self.row(target, settings, status="lacks the task", loss_full=loss_full), None
        if not had or task is None:
            return
        prune = self._tuned(model, task, aim_at(had, self.prune), out, progress)
        curve = LossCurve(model, task, (self.rank or rank_nodes)(model, task, prune, progress), prune, progress)
        for target in had:
            started = time.perf_counter()
            circuit = circuit_at(curve, target)
            score = evaluate(model, task, circuit, pairs=self.test_pairs, seed=TEST_SEED)
            path = self.circuit_path(f"-loss{target:g}", self.identity(target, settings))
            seconds = curve.ranking.seconds + time.perf_counter() - started
            row = self.row(target, settings, circuit=path, seconds=seconds, **_measures(circuit, model, score))
            yield replace(row, evidence=self._evidence(model, task, circuit, out and out / path, progress)), circuit

    def standing(self, model: GPT) -> tuple[float, list[float]]:
        """(task loss of the unpruned model on test pairs, target losses at which the model has the task).

        `UserError` if the task is unavailable or its prompts are too long for the model.
        """
        task = self.posed.task
        if task is None:
            raise UserError(self.posed.reason)
        for split, pairs in (("train", self.prune.pairs), ("validation", self.prune.validation_pairs)):
            task_batch(model, task, split, pairs, 0)
        loss_full = unpruned_loss(model, task, pairs=self.test_pairs, seed=TEST_SEED)
        return loss_full, [target for target in self.targets if loss_full < target]

    def asked(self, model: GPT) -> tuple[Task, PruneConfig] | None:
        """(the task, the pruning settings), if the model has the task at one of the cell's target losses.

        The target loss in the settings is replaced by the nearest one at which the model has the task.
        None if the model lacks the task at every target loss, or if the task is unavailable.
        """
        try:
            had = self.standing(model)[1]
        except UserError:
            return None
        task = self.posed.task
        return None if task is None or not had else (task, aim_at(had, self.prune))

    def _tuned(
        self, model: GPT, task: PosedTask, prune: PruneConfig, out: Path | None, progress: Progress | None
    ) -> PruneConfig:
        if not self.trials:
            return prune
        if out is None:
            raise UserError("tuning writes a journal of its trials; give a results folder")
        study = f"{self.identity(prune.target_loss, self.settings)} {prune.target_loss:g}"
        return tune(model, task, prune, self.trials, out / TUNING, name=study, progress=progress).config

    def _evidence(
        self, model: GPT, task: PosedTask, circuit: Circuit, path: Path | None, progress: Progress | None
    ) -> dict[str, Any] | None:
        """The report on the circuit, as values that JSON can hold; None without checks. path: the circuit's file; the
        report is also saved next to it. None: not saved."""
        if self.check is None:
            return None
        text = training_text(model_directory(self.subject.path), self.check.text_rows, model.config.context)
        place = path and report_path(path)
        return collect_evidence(model, task, circuit, self.check, text=text, path=place, progress=progress).to_dict()


def aim_at(had: Sequence[float], prune: PruneConfig) -> PruneConfig:
    """`prune` with its target loss replaced by the nearest one in `had`.

    had: target losses at which the model has the task.
    """
    return replace(prune, target_loss=nearest(had, prune.target_loss))


def nearest(targets: Sequence[float], wanted: float) -> float:
    """The target loss whose ratio to `wanted` is nearest to 1."""
    return min(targets, key=lambda target: max(target / wanted, wanted / target))


def _measures(circuit: Circuit, model: GPT, score: Score) -> dict[str, Any]:
    """The fields of a pruned row that describe and score the circuit."""
    return {
        "status": "pruned",
        "has_task": True,
        "reached": circuit.info.reached,
        "loss": score.loss,
        "loss_full": score.loss_full,
        "nodes": circuit.n_nodes,
        "nodes_per_site": circuit.nodes_per_site(),
        "edges": circuit.edges(model),
        "edges_trimmed": circuit.trimmed(model).edges(model),
        "side_edges": circuit.side_edges(model),
        "calibrated": circuit.info.calibrated,
        "curve": circuit.info.curve,
    }
