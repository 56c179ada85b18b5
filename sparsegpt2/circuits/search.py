"""Find circuits: rank nodes or edges, choose how many to keep, and record how the circuit was found.

Pruners train on pairs of the task's `train` split, and sizes are chosen on `validation` pairs. The third split, `test`,
is not used here; `score.evaluate` scores circuits on it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from sparsegpt2.circuits.calibrate import fit_calibration
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.discretize import VALIDATION_SEED, LossCurve, smallest_size
from sparsegpt2.circuits.info import CircuitInfo
from sparsegpt2.circuits.losses import task_batch, task_loss
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.pruners import get_joint_pruner, get_pruner, named_plainly, settings_of_pruner
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.score import circuit_logits
from sparsegpt2.circuits.task import Task
from sparsegpt2.circuits.trim import trim
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def find_circuit(
    model: GPT, task: Task, config: PruneConfig | None = None, progress: Progress | None = None
) -> Circuit:
    """The smallest circuit found in `model` for `task` that meets `config.target_loss`.

    It needs `model.means` (see `means.node_means`). `UserError` for an unknown pruner, missing or NaN means or weights,
    or a task whose prompts the model cannot read. If no size meets the target, the circuit is the whole model and
    `info.reached` is False. The model is not changed.
    """
    config = named_plainly(config or PruneConfig())
    ranking = rank_nodes(model, task, config, progress)
    return circuit_at(LossCurve(model, task, ranking, config, progress), config.target_loss)


def rank_nodes(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Rank nodes or edges with the pruner that `config` names.

    Circuits for several target losses can be made from one ranking.
    """
    pruner = get_pruner(config.pruner)
    config.check_own(settings_of_pruner(config.pruner))
    _check_prunable(model)
    started = time.perf_counter()
    ranking = pruner(model, task, config, progress)
    return replace(ranking, seconds=time.perf_counter() - started)


def rank_together(
    model: GPT, tasks: Sequence[Task], configs: Sequence[PruneConfig], progress: Progress | None = None
) -> list[Ranking]:
    """`rank_nodes` for several tasks, each with its config.

    If all configs name the same pruner, and its file defines `rank_together`, the tasks are trained in shared batches.

    The rankings are those of `rank_nodes` up to rounding. `seconds` of each ranking is an equal share of the total
    time.
    """
    pruner = get_joint_pruner(configs[0].pruner)
    if pruner is None or len({config.pruner for config in configs}) > 1:
        return [rank_nodes(model, task, config, progress) for task, config in zip(tasks, configs, strict=True)]
    _check_prunable(model)
    started = time.perf_counter()
    rankings = pruner(model, tasks, configs, progress)
    seconds = (time.perf_counter() - started) / len(rankings)
    return [replace(ranking, seconds=seconds) for ranking in rankings]


def _check_prunable(model: GPT) -> None:
    """`UserError` unless the model has node means and finite weights."""
    means_of(model)
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise UserError(f"the model's parameter {name} contains NaN or infinity, so the model cannot be pruned")


def circuit_at(curve: LossCurve, target_loss: float) -> Circuit:
    """The smallest circuit found with the curve's ranking that meets a target loss in nats.

    If no size meets it, the circuit is the whole model. `info` records how the circuit was found; its validation loss
    is measured with calibrated logits if calibration was on. For several targets, call this several times with one
    `LossCurve`, so that no size is scored twice.
    """
    started = time.perf_counter()
    config, ranking = curve.config, curve.ranking
    chosen = smallest_size(curve, target_loss, config.search)
    k = ranking.size if chosen is None else chosen
    whole = Circuit(every_node(curve.model))
    loss_full = curve.loss_of(whole)
    info = CircuitInfo(
        task=curve.task.name,
        pruner=config.pruner,
        seed=config.seed,
        target_loss=target_loss,
        validation_loss=loss_full if chosen is None else curve.loss(k),
        validation_loss_full=loss_full,
        reached=chosen is not None,
        k=k,
        trained_k=ranking.trained_size,
        search=config.search,
        trim=config.trim,
        calibrated=config.calibrate,
    )
    scores = {site: score.cpu() for site, score in ranking.scores.items()}
    circuit = replace(whole if chosen is None else curve.circuit(k), scores=scores, info=info)
    if config.trim != "none" and chosen is not None:
        before = circuit.edges(curve.model)
        circuit = trim(curve.model, circuit, curve.batch, target_loss, edges=config.trim == "edges")
        circuit = circuit.noting(edges_before_trim=before, validation_loss=curve.loss_of(circuit))
    if config.calibrate:
        circuit = _calibrated(curve, circuit)
    seconds = ranking.seconds + time.perf_counter() - started
    return circuit.noting(curve=curve.points(), seconds=seconds, config=config.to_dict())


def _calibrated(curve: LossCurve, circuit: Circuit) -> Circuit:
    """The circuit with a calibration fitted on train pairs, and with its validation loss under that calibration."""
    batch = task_batch(curve.model, curve.task, "train", curve.config.validation_pairs, VALIDATION_SEED)
    calibration = fit_calibration(
        circuit_logits(curve.model, circuit, batch),
        torch.cat([batch.answer, batch.alternative]),
        lambda logits: task_loss(logits, batch).mean(),
    )
    validation = calibration.apply(circuit_logits(curve.model, circuit, curve.batch))
    return circuit.noting(calibration=calibration, validation_loss=float(task_loss(validation, curve.batch).mean()))
