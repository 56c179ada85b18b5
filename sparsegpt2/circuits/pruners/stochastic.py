"""The node pruner, but in each row only a random part of the closed nodes is ablated.

A node is closed if its gate is 0 (docs/definitions.md, Closed node).

The effects of nodes that are ablated together can cancel, and a pruner can exploit that to build circuits that the
model does not use (Drori 2026, see docs/faithfulness.md). It cannot do so if only a random part of the closed nodes is
ablated, because the open nodes must then do the task while some of the closed ones are active too. The setting
`ablation_rate` is the smallest share that is ablated. At 1 all closed nodes are ablated, as in the node pruner.

Shapes: N nodes, B rows of a batch.
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
    """Train the gates, then rank nodes by tau, the trained parameter of a node's gate."""
    return train_nodes(model, [task], [config], progress, training=StochasticTraining)[0]


class StochasticTraining(NodeTraining):
    """Gates on nodes, where a random part of the closed nodes is not ablated."""

    gives_up = False  # a node whose tau is below `drop_below` is still active in some rows, so it must be computed
    config: Settings

    def __init__(self, model: GPT, task: Task, config: Settings) -> None:
        super().__init__(model, task, config)
        self.chance = torch.Generator().manual_seed(config.seed)

    def masks(self, gates: Tensor) -> Tensor:
        """Make a mask for each row of a batch, [B, N], from gates [N]. It keeps open nodes and some of the closed ones.

        A row draws a rate uniformly from `ablation_rate` to 1, and ablates each closed node with that probability.
        """
        rows, least = 2 * self.config.pairs, self.config.ablation_rate
        rates = least + (1 - least) * torch.rand(rows, 1, generator=self.chance)
        spared = torch.rand(rows, len(gates), generator=self.chance) >= rates
        return gates + (1 - gates) * spared.to(gates.device, gates.dtype, non_blocking=True)
