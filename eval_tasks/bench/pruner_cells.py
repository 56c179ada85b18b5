"""Cells whose circuits are made of nodes or edges, found by a pruner.

A cell is one model, task, pruner and seed. Its nodes are ranked once, and the circuit for each target loss is taken
from that ranking. Pruning uses the train and validation pairs of a task; scores are from test pairs.
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
"""File in a results folder: Optuna's journal of all its searches."""

Ranker = Callable[[GPT, Task, PruneConfig, Progress | None], Ranking]
"""A function that ranks the nodes of a model for a task: `rank_nodes`, or a `SharedRanking`."""


@dataclass(frozen=True)
class PrunerCell(Cell):
    """One model, task, pruner and seed, and the target losses of its circuits."""

    prune: PruneConfig
    """Pruner, seed and all other settings; `target_loss` is the target that the ranking is made for."""
    targets: tuple[float, ...]
    """Target losses in decreasing order; each gives a row."""
    test_pairs: int
    trials: int = 0
    """Trials of a search for the best settings; 0: use `prune` unchanged."""
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
        if source := pruner_fingerprint(self.prune.pruner):  # the user's own file: if it is edited, rows are new
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
        """A row for each target: `pruned` or `lacks the task`, or all of them `unavailable`."""
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
        """(unpruned loss on test pairs, targets at which the model has the task).

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
        """The task and the pruning settings, with a target at which the model has the task; None if there is none."""
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
        """The circuit's report as values that JSON can hold, also saved next to the circuit; None without checks."""
        if self.check is None:
            return None
        text = training_text(model_directory(self.subject.path), self.check.text_rows, model.config.context)
        place = path and report_path(path)
        return collect_evidence(model, task, circuit, self.check, text=text, path=place, progress=progress).to_dict()


def aim_at(had: Sequence[float], prune: PruneConfig) -> PruneConfig:
    """The settings with the target in `had` that is nearest to theirs."""
    return replace(prune, target_loss=nearest(had, prune.target_loss))


def nearest(targets: Sequence[float], wanted: float) -> float:
    """The target loss nearest to `wanted` by ratio."""
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
