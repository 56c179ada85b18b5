"""A plain version of the node pruner: the baseline of `sections/pruning.py`.

It has the same gates, penalty, pairs and sizes as ours, so it finds the same circuits except for rounding, but without
our optimisations. It runs one task at a time in float32, pads prompts to the longest of the batch, computes logits at
every position, masks every channel of every site at every step, and scores each size of a circuit in a forward pass of
its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits import LossCurve, PruneConfig, Ranking, Task, TaskBatch
from sparsegpt2.circuits.gate_training import STEP_SEEDS, Penalty, highest_tau, initial_tau, schedule
from sparsegpt2.circuits.gates import MeanAblation, frozen, gate, split_nodes
from sparsegpt2.circuits.losses import task_batch, task_loss
from sparsegpt2.circuits.means import means_of
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites


def plain_logits(model: GPT, batch: TaskBatch, masks: dict[str, Tensor]) -> Tensor:
    """Logits after each prompt [B, V], taken from the logits at all positions."""
    logits = model(batch.tokens, site=MeanAblation(masks, means_of(model)))  # [B, T, V]
    return logits[torch.arange(len(batch)), batch.position].float()


def plain_rank(model: GPT, task: Task, config: PruneConfig) -> Ranking:
    """A plain version of `pruners.node.rank`."""
    sites = node_sites(model.config)
    tau = initial_tau(sum(sites.values()), config).requires_grad_(True)
    optimizer = torch.optim.AdamW([tau], lr=config.lr, betas=config.betas, weight_decay=config.weight_decay)
    penalty, history = Penalty(config), list[dict[str, float]]()
    with frozen(model, torch.float32), torch.enable_grad():
        for step in range(config.steps):
            batch = task_batch(model, task, "train", config.pairs, config.seed * STEP_SEEDS + step)
            gates = gate(tau, config.temperature)
            loss = task_loss(plain_logits(model, batch, split_nodes(gates, sites)), batch).mean()
            optimizer.zero_grad()
            (loss + penalty.cost(gates.sum())).backward()
            torch.nn.utils.clip_grad_norm_([tau], config.clip)
            for group in optimizer.param_groups:
                group["lr"] = config.lr * schedule((step + 1) / config.steps, config.warmup)
            optimizer.step()
            with torch.no_grad():
                tau.clamp_(-1, highest_tau(config))
            k_coef = float(penalty.k_coef)
            history.append({"task_loss": float(loss.detach()), "kept": int(gates.detach().sum()), "k_coef": k_coef})
            penalty.update(loss.detach())
    return Ranking(split_nodes(tau.detach(), sites), trained_size=int((tau >= 0).sum()), history=history)


class PlainCurve(LossCurve):
    """A `LossCurve` that scores one size at a time in the whole model."""

    @torch.no_grad()
    def _losses_of_masks(self, kept: list[dict[str, Tensor]]) -> list[float]:
        losses = []
        with frozen(self.model, torch.float32):
            for nodes in kept:
                logits = plain_logits(self.model, self.batch, nodes)
                losses.append(float(task_loss(logits, self.batch).double().mean()))
        return losses
