"""The node pruner, with only a random part of what it would drop ablated at a time.

Nodes ablated together can cancel, and so let a pruner put together circuits that the model does not use (Drori 2026).
Random parts of the complement can't be relied on to: a circuit trained so must work inside the living model as well as
alone. `ablation_rate` is the least part; at 1 this is the node pruner. Shapes: N nodes, B rows of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.node_training import NodeTraining, train_nodes
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.settings import StochasticSettings as Settings
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def rank(model: GPT, task: Task, config: Settings, progress: Progress | None = None) -> Ranking:
    """Nodes by tau after training the gates."""
    return train_nodes(model, [task], [config], progress, training=StochasticTraining)[0]


class StochasticTraining(NodeTraining):
    """Gates of nodes of which closed ones are often spared."""

    gives_up = False  # a node that is given up may still be spared
    config: Settings

    def __init__(self, model: GPT, task: Task, config: Settings) -> None:
        super().__init__(model, task, config)
        self.chance = torch.Generator().manual_seed(config.seed)

    def masks(self, gates: Tensor) -> Tensor:
        """Gates [N] -> masks for each row of a batch, [B, N], in which some closed nodes are left alone.

        Every row draws its own rate uniformly from `ablation_rate` to 1, and a closed node is ablated at that rate.
        """
        rows, least = 2 * self.config.pairs, self.config.ablation_rate
        rates = least + (1 - least) * torch.rand(rows, 1, generator=self.chance)
        spared = torch.rand(rows, len(gates), generator=self.chance) >= rates
        return gates + (1 - gates) * spared.to(gates.device, gates.dtype, non_blocking=True)
