"""Finding circuits: rank the nodes, choose how many to keep, and say how it went.

A pruner trains on the task's `train` split, sizes are chosen on `validation`, and `test` is left to `score.evaluate`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from sparsegpt2.circuits.calibrate import fit_calibration
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.discretize import VALIDATION_SEED, LossCurve, smallest_size
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.pruners import get_joint_pruner, get_pruner, named_plainly
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.score import circuit_logits, task_batch, task_loss
from sparsegpt2.circuits.task import Task
from sparsegpt2.circuits.trim import trim
from sparsegpt2.config import to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def find_circuit(
    model: GPT, task: Task, config: PruneConfig | None = None, progress: Progress | None = None
) -> Circuit:
    """The smallest circuit found of `model` on `task` at `config.target_loss`.

    Needs `model.means` (see `means.node_means`). Raises `UserError` for an unknown pruner, missing or NaN means or
    weights, or a task that the model cannot read. If no size meets the target the circuit is the whole model and
    `info["reached"]` is False. The model is left as it was found.
    """
    config = named_plainly(config or PruneConfig())
    ranking = rank_nodes(model, task, config, progress)
    return circuit_at(LossCurve(model, task, ranking, config, progress), config.target_loss)


def rank_nodes(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Run the pruner that `config` names; one ranking serves circuits at several target losses."""
    pruner = get_pruner(config.pruner)
    _check_prunable(model)
    started = time.perf_counter()
    ranking = pruner(model, task, config, progress)
    return replace(ranking, seconds=time.perf_counter() - started)


def rank_together(
    model: GPT, tasks: Sequence[Task], configs: Sequence[PruneConfig], progress: Progress | None = None
) -> list[Ranking]:
    """`rank_nodes` for several tasks and configs of one pruner, in one batch where the pruner can do that.

    The rankings are those of `rank_nodes` but for rounding; each has an equal share of the seconds.
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
    """Node means and finite weights, or a `UserError`."""
    means_of(model)
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise UserError(f"the model's parameter {name} holds NaN or infinity: it cannot be pruned")


def circuit_at(curve: LossCurve, target_loss: float) -> Circuit:
    """The circuit of a ranking at a target loss, in nats; a benchmark over several targets shares one `LossCurve`.

    `info` says how it came about: task, pruner, seed, target_loss, validation_loss (nats, calibrated if that was on),
    validation_loss_full (the unpruned model's), reached, k and trained_k (the size, in nodes or, from a
    pruner of edges, in edges), search, trim, edges_before_trim, curve ([nodes, edges, loss] of every
    size scored for this or an earlier target), calibrated, calibration, seconds, and the config.
    """
    started = time.perf_counter()
    config, ranking = curve.config, curve.ranking
    chosen = smallest_size(curve, target_loss, config.search)
    k = ranking.size if chosen is None else chosen
    whole = Circuit(every_node(curve.model))
    loss_full = curve.loss_of(whole)
    info: dict[str, Any] = {
        "task": curve.task.name,
        "pruner": config.pruner,
        "seed": config.seed,
        "target_loss": target_loss,
        "validation_loss": loss_full if chosen is None else curve.loss(k),
        "validation_loss_full": loss_full,
        "reached": chosen is not None,
        "k": k,
        "trained_k": ranking.trained_size,
        "search": config.search,
        "trim": config.trim,
        "edges_before_trim": None,
        "calibrated": config.calibrate,
        "calibration": None,
    }
    scores = {site: score.cpu() for site, score in ranking.scores.items()}
    circuit = replace(whole if chosen is None else curve.circuit(k), scores=scores, info=info)
    if config.trim != "none" and chosen is not None:
        info["edges_before_trim"] = circuit.edges(curve.model)
        circuit = trim(curve.model, circuit, curve.batch, target_loss, edges=config.trim == "edges")
        info["validation_loss"] = curve.loss_of(circuit)
    if config.calibrate:
        _calibrate(curve, circuit)
    info["curve"] = curve.points()
    info["seconds"] = ranking.seconds + time.perf_counter() - started
    info["config"] = to_dict(config)
    return circuit


def _calibrate(curve: LossCurve, circuit: Circuit) -> None:
    """Fit the circuit's calibration on train pairs and note it, with the validation loss it gives, in `info`."""
    batch = task_batch(curve.model, curve.task, "train", curve.config.validation_pairs, VALIDATION_SEED)
    calibration = fit_calibration(
        circuit_logits(curve.model, circuit, batch),
        torch.cat([batch.answer, batch.alternative]),
        lambda logits: task_loss(logits, batch).mean(),
    )
    validation = calibration.apply(circuit_logits(curve.model, circuit, curve.batch))
    circuit.info["calibration"] = calibration.to_dict()
    circuit.info["validation_loss"] = float(task_loss(validation, curve.batch).mean())
