"""Pruning edges, at the granularity of single weights (docs/pruning.md): a gate on every nonzero weight.

A removed edge from node i carries w * mean_i instead of w * x_i, so gates Z over a matrix W are the weight W * Z and
the bias b + (W * (1 - Z)) @ mean (`edges.ablate_edges`): a step costs one forward and backward pass of the model
itself. A node that the open gates leave without a path from an input to the logits is mean-ablated too, as it will be
in the circuit.

Shapes: E edges, B rows, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.edges import EdgeList, ablate_edges, edge_maps
from sparsegpt2.circuits.gates import frozen, gate, hard_concrete, hard_concrete_open
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.circuits.pruners import node
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.score import answer_logits, task_loss
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

START_SHARE = 0.5
"""A node circuit to start from is aimed at this share of the target loss, so that its edges leave a choice."""


def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Edges by tau after training the gates; `trained_size` is how many gates are open (tau >= 0)."""
    if not model.config.bias:
        raise UserError("the edge pruner folds removed edges into biases, which this model's linear maps do not have")
    edges = EdgeList.of(model, starting_nodes(model, task, config, progress))
    run = EdgeTraining(model, task, replace(config, lr=config.edge_lr), len(edges))
    with frozen(model, getattr(torch, config.dtype)), torch.enable_grad():
        while not run.finished:
            gates = run.gates()  # [E]
            loss = gated_losses(model, run.next_batch(), edges, gates).mean()
            (loss + run.penalty.k_coef * run.cost(gates)).backward()
            run.step(loss.detach(), (gates.detach() > 0).sum())
            run.tell(progress, config.steps, "edges")
    tau = run.tau.detach().cpu()
    return Ranking(
        node_scores(model, edges, tau),
        edges=edges,
        edge_scores=tau,
        trained_size=int((tau >= 0).sum()),
        history=run.history,
    )


def starting_nodes(model: GPT, task: Task, config: PruneConfig, progress: Progress | None) -> dict[str, Tensor]:
    """The nodes whose edges get gates, site -> bool [C]: all, or those that the node pruner's own mask keeps."""
    if config.edge_start == "model":
        return every_node(model)
    ranking = node.rank(model, task, replace(config, target_loss=START_SHARE * config.target_loss), progress)
    return ranking.nodes(ranking.trained_size or ranking.n_nodes)


class EdgeTraining(node.GateTraining):
    """Gates of edges, of either kind."""

    def __init__(self, model: GPT, task: Task, config: PruneConfig, edges: int) -> None:
        super().__init__(model, task, config, edges)
        if config.edge_gate == "hard_concrete":  # its tau says how likely a gate is to be open
            self.highest = 1.0
        self.noise = torch.Generator().manual_seed(config.seed)

    def gates(self) -> Tensor:
        """Gates in [0, 1], [E], with their gradient."""
        if self.config.edge_gate == "heaviside":
            return gate(self.tau, self.config.temperature)
        uniform = torch.rand(len(self.tau), generator=self.noise).clamp(1e-6, 1 - 1e-6)
        return hard_concrete(self.tau, uniform.to(self.tau.device))

    def cost(self, gates: Tensor) -> Tensor:
        """Number of open gates, as the penalty counts it: expected, where gates are random."""
        return gates.sum() if self.config.edge_gate == "heaviside" else hard_concrete_open(self.tau).sum()


def gated_losses(model: GPT, batch: TaskBatch, edges: EdgeList, gates: Tensor) -> Tensor:
    """Task loss of each row, [B], of the circuit of those edges with gates [E] on them; gradients reach the gates."""
    means, weights = means_of(model), edges.spread(gates)
    kept = nodes_on_paths(model, edges.nodes, {name: z.detach() > 0 for name, z in weights.items()})
    site, parameters = DanglingAblation(edges.nodes, kept, means), ablate_edges(model, weights, means)
    losses = torch.empty(len(batch), device=gates.device)
    for rows, part in batch.by_length(len(batch)):
        logits = answer_logits(model, part, site, parameters=parameters, position_only=True)
        losses = losses.index_copy(0, rows, task_loss(logits, part))
    return losses


class DanglingAblation:
    """A site object: nodes outside `kept` become their mean.

    Those of them that are in `nodes` pass their gradient as if they were kept: with another edge open they may be, and
    gates that get no gradient could never open again.
    """

    def __init__(self, nodes: Mapping[str, Tensor], kept: Mapping[str, Tensor], means: Mapping[str, Tensor]) -> None:
        self.nodes, self.kept, self.means = nodes, kept, means

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.nodes:
            return x
        nodes, kept = (masks[name].to(x.device) for masks in (self.nodes, self.kept))
        ablated = torch.where(kept, x, self.means[name].to(x.dtype))
        return torch.where(nodes, x + (ablated - x).detach(), ablated)


def node_scores(model: GPT, edges: EdgeList, tau: Tensor) -> dict[str, Tensor]:
    """The tau of the best edge of each node, site -> [C]; -2, under any tau, for nodes without one."""
    scores = {site: torch.full((len(mask),), -2.0) for site, mask in edges.nodes.items()}
    at_edges = {name: values - 3 for name, values in edges.spread(tau + 3).items()}  # -2 where no edge is
    for edge_map in edge_maps(model):
        block = at_edges[edge_map.parameter][edge_map.rows, edge_map.columns]  # [O, I]
        for site, best in ((edge_map.target, block.amax(dim=1)), (edge_map.source, block.amax(dim=0))):
            scores[site] = torch.maximum(scores[site], best)
    return scores
