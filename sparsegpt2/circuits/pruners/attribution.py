"""The baseline without training: gradient times (activation - mean) (paper, figure 31: "attribution-based pruning").

The score of node c is the mean over rows of | sum over positions t of dL/dx_tc * (x_tc - mean_c) |, with L the row's
task loss in the unpruned model: to first order, how much ablating the node to its mean changes the row's loss (Nanda
2023, "Attribution patching"). Rows are averaged in magnitude, so that a node which helps one side of a pair as much as
it hurts the other does not cancel out.
"""

from __future__ import annotations

import torch

from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.gates import MeanAblation, frozen
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.score import answer_logits, task_batch, task_loss
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.progress import Progress

ROWS = 64
"""Rows in one forward and backward pass."""


def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Nodes by mean absolute attribution over `config.attribution_pairs` train pairs, in float32."""
    sites, device = node_sites(model.config), model.wte.weight.device
    batch = task_batch(model, task, "train", config.attribution_pairs, config.seed)
    scores = {site: torch.zeros(width, device=device) for site, width in sites.items()}
    done = 0
    with frozen(model, torch.float32), torch.enable_grad():
        for _, part in batch.by_length(ROWS):
            # With a mask of ones for each row, dL/dm at m = 1 is the sum over positions of dL/dx * (x - mean).
            masks = {site: torch.ones(len(part), width, device=device) for site, width in sites.items()}
            for mask in masks.values():
                mask.requires_grad_(True)
            logits = answer_logits(model, part, MeanAblation(masks, means_of(model)), position_only=True)
            task_loss(logits, part).sum().backward()
            for site, mask in masks.items():
                assert mask.grad is not None
                scores[site] += mask.grad.abs().sum(dim=0) / len(batch)
            done += len(part)
            if progress is not None:
                progress(done, len(batch), "attribution")
    return Ranking(scores)
