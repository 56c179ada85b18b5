"""The paper's node pruner (appendix A.5): a gate on every node, trained to do the task with few nodes.

Shapes: N nodes of the model (all channels of all node sites), B rows of a batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.gates import MeanAblation, frozen, gate, join_nodes, split_nodes
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.ranking import Progress, Ranking
from sparsegpt2.circuits.score import answer_logits, task_batch, task_loss
from sparsegpt2.circuits.task import Task
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites

STEP_SEEDS = 1_000_003
"""Distance between the batch seeds of two pruning seeds: more than any number of steps."""


def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Nodes by tau after training the gates; `trained_size` is how many gates are open (tau >= 0)."""
    sites, means = node_sites(model.config), means_of(model)
    tau = initial_tau(sum(sites.values()), config).to(model.wte.weight.device).requires_grad_(True)
    optimizer = torch.optim.AdamW([tau], lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    penalty, history = Penalty(config), []
    with frozen(model, getattr(torch, config.dtype)), torch.enable_grad():
        for step in range(config.steps):
            batch = task_batch(model, task, "train", config.pairs, config.seed * STEP_SEEDS + step)
            gates = gate(tau, config.temperature)  # [N]
            logits = answer_logits(model, batch, MeanAblation(split_nodes(gates, sites), means))
            loss, kept = task_loss(logits, batch).mean(), gates.sum()
            optimizer.zero_grad()
            (loss + penalty.k_coef * kept).backward()
            torch.nn.utils.clip_grad_norm_([tau], config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * schedule((step + 1) / config.steps, config.warmup)
            optimizer.step()
            with torch.no_grad():
                tau.clamp_(-1, 1)
            history.append(record(task, loss.detach(), kept.detach(), penalty))
            penalty.update(history[-1]["task_loss"])
            if progress is not None:
                progress(step + 1, config.steps, "pruning: loss {task_loss:.3f}, {kept} nodes".format(**history[-1]))
    scores = split_nodes(tau.detach(), sites)
    return Ranking(scores, trained_size=int((join_nodes(scores, sites) >= 0).sum()), history=history)


def initial_tau(nodes: int, config: PruneConfig) -> Tensor:
    """tau [N] at the start: normal(init_noise_bias, init_noise_scale), clamped to [-1, 1]."""
    generator = torch.Generator().manual_seed(config.seed)
    return (config.init_noise_bias + config.init_noise_scale * torch.randn(nodes, generator=generator)).clamp(-1, 1)


def schedule(progress: float, warmup: float) -> float:
    """Share of the learning rate at `progress` (0 to 1) of training: linear from 0 over `warmup`, then linear to 0."""
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)


class Penalty:
    """What a kept node costs: fixed, or the output of a controller that holds the task loss at its target.

    The controller treats the target as a constraint and k_coef as its multiplier: while the running task loss is under
    the aim, k_coef rises, while it is over, it falls; by a factor, as its right size spans orders of magnitude. It is
    the sum of a lasting part, which finds that size, and an immediate one, as gates answer with a delay of many steps.
    """

    def __init__(self, config: PruneConfig) -> None:
        self.config, self.k_coef = config, config.k_coef
        self.lasting = math.log(config.k_coef)
        self.aim = config.controller_margin * config.target_loss
        self.running: float | None = None

    def update(self, task_loss: float) -> None:
        """Take in the task loss (nats) of a step."""
        if self.config.penalty == "fixed":
            return
        memory = self.config.controller_memory
        self.running = task_loss if self.running is None else memory * self.running + (1 - memory) * task_loss
        error = max(-1.0, min(1.0, math.log(self.aim / max(self.running, 1e-9))))
        self.lasting += self.config.controller_rate * error
        self.k_coef = math.exp(self.lasting + self.config.controller_gain * error)


def record(task: Task, loss: Tensor, kept: Tensor, penalty: Penalty) -> dict[str, float]:
    """A step's entry in the history; a loss that is not finite is a `UserError`."""
    if not bool(torch.isfinite(loss)):
        raise UserError(f"task {task.name} has no finite loss: the model's weights or node means hold NaN")
    return {"task_loss": float(loss), "kept": int(kept), "k_coef": penalty.k_coef}
