"""A baseline without training: gradient times (activation - mean) (paper, figure 31, "attribution-based pruning").

The score of node c is the mean over rows of | sum over positions t of dL/dx_tc * (x_tc - mean_c) |, where L is the
row's task loss in the unpruned model, x_tc the node's activation at position t, and mean_c the node's mean. To first
order, this is how much mean ablation of the node changes the row's loss (Nanda 2023, "Attribution Patching: Activation
Patching At Industrial Scale", neelnanda.io). The mean is over absolute values. Otherwise a node that helps one side of
a pair as much as it hurts the other would get score 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.ablations import Masks, Piece, Sites, mean_ablation
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.gates import MeanAblation
from sparsegpt2.circuits.losses import task_batch, task_loss
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.settings import AttributionSettings as Settings
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.progress import Progress

ROWS = 64
"""Largest number of sequences in one forward and backward pass."""


def rank(model: GPT, task: Task, config: Settings, progress: Progress | None = None) -> Ranking:
    """Rank nodes by their mean absolute attribution over `config.attribution_pairs` train pairs, in float32."""
    sites, device = node_sites(model.config), model.wte.weight.device
    batch = task_batch(model, task, "train", config.attribution_pairs, config.seed)
    scores = {site: torch.zeros(width, device=device) for site, width in sites.items()}
    gates, done = RowGates(mean_ablation(model).values), 0
    with torch.enable_grad():
        for _, part, logits in Ablated(model, every_node(model), ablation=gates).each(batch, ROWS):
            task_loss(logits, part).sum().backward()
            del logits
            for site, mask in gates.masks.items():
                assert mask.grad is not None
                scores[site] += mask.grad.abs().sum(dim=0) / len(batch)
            done += len(part)
            if progress is not None:
                progress(done, len(batch), "attribution")
    return Ranking(scores)


class RowGates:
    """An ablation that ablates nothing, because all gates are open, but collects gradients. Each row has its own gates.

    The mask m of a row consists of ones. Then dL/dm is the sum over positions of dL/dx * (x - mean).
    """

    everywhere = False

    def __init__(self, means: dict[str, Tensor]) -> None:
        self.means = means
        self.masks: dict[str, Tensor] = {}
        """Site -> the gates of the latest piece, [rows, channels of the site]."""

    def edge_values(self) -> Masks:
        return self.means

    def over(self, kept: Masks) -> Sites:
        """As in `Ablation`. Each piece gets new gates; `kept` matters only for its sites and their widths."""

        def site(piece: Piece) -> MeanAblation:
            rows, device = len(piece.batch), piece.batch.device
            self.masks = {
                name: torch.ones(rows, mask.shape[-1], device=device).requires_grad_(True)
                for name, mask in kept.items()
            }
            return MeanAblation(self.masks, self.means)

        return site
