"""Prune single weights (docs/pruning.md). Every edge of the model, or of a circuit of nodes, has a gate.

A removed edge of weight w from node i carries w * mean_i instead of w * x_i, where x_i is the node's value. So gates Z
over a matrix W with bias b change the weight to W * Z and the bias to b + (W * (1 - Z)) @ mean (`edges.ablate_edges`),
and a step costs one forward and one backward pass of the model itself. A node dangles if it is on no path of edges with
open gates from an input to the logits. Such a node is mean-ablated too, because it will not be in the circuit.

tau is the trained parameter of a gate, and a gate is open if its value is above 0 (docs/definitions.md, Gate).

Shapes: E edges, B rows, C channels of a site, O channels that a map writes, I channels that a map reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sparsegpt2.circuits import hard_concrete
from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.ablations import Masks, Sites, mean_ablation
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.edges import EdgeList, edge_maps
from sparsegpt2.circuits.gate_training import GateTraining
from sparsegpt2.circuits.gates import frozen, gate
from sparsegpt2.circuits.node_training import train_nodes
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.settings import EdgeSettings as Settings
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

START_SHARE = 0.5
"""With edge_start=circuit, the target loss of the node pruner is this share of the `target_loss` setting. That leaves
room for removing edges afterwards."""

LOG_ALPHA = 5.0
"""log alpha of a hard-concrete gate with tau = 1. At tau = 0 the gate is above 1/2 with probability 1/2."""


def rank(model: GPT, task: Task, config: Settings, progress: Progress | None = None) -> Ranking:
    """Rank edges by tau after training the gates. `trained_size` is the number of open gates (tau >= 0)."""
    if not model.config.bias:
        raise UserError("the edge pruner folds removed edges into biases, which this model's linear maps do not have")
    edges = EdgeList.of(model, starting_nodes(model, task, config, progress)).to(model.wte.weight.device)
    dtype = getattr(torch, config.dtype)
    run, gated = (
        EdgeTraining(model, task, replace(config, lr=config.edge_lr), len(edges)),
        GatedEdges(model, edges, dtype),
    )
    with frozen(model, dtype), torch.enable_grad():
        while not run.finished:
            gates = run.gates()  # [E]
            loss = gated.losses(run.next_batch(), gates).mean()
            (loss + run.penalty.cost(run.open_gates(gates))).backward()
            run.step(loss.detach(), (gates.detach() > 0).sum())
            run.tell(progress, config.steps, "edges")
    tau, edges = run.tau.detach().cpu(), edges.to("cpu")
    return Ranking(
        node_scores(model, edges, tau),
        edges=edges,
        edge_scores=tau,
        trained_size=int((tau >= 0).sum()),
        history=run.history,
    )


def starting_nodes(model: GPT, task: Task, config: Settings, progress: Progress | None) -> dict[str, Tensor]:
    """The nodes whose edges get gates, site -> bool [C]: all nodes, or those that the node pruner keeps."""
    if config.edge_start == "model":
        return every_node(model)
    (ranking,) = train_nodes(model, [task], [replace(config, target_loss=START_SHARE * config.target_loss)], progress)
    return ranking.nodes(ranking.trained_size or ranking.n_nodes)


class EdgeTraining(GateTraining):
    """Training of gates on edges; `edge_gate` says which kind of gate."""

    config: Settings

    def __init__(self, model: GPT, task: Task, config: Settings, edges: int) -> None:
        super().__init__(model, task, config, edges)
        if config.edge_gate == "hard_concrete":  # tau sets how likely a gate is open, so `headroom` does not limit it
            self.highest = 1.0
        self.noise = torch.Generator().manual_seed(config.seed)

    def gates(self) -> Tensor:
        """Gates in [0, 1], [E], through which gradients reach tau."""
        if self.config.edge_gate == "heaviside":
            return gate(self.tau, self.config.temperature)
        return hard_concrete.sample(LOG_ALPHA * self.tau, self.noise)

    def open_gates(self, gates: Tensor) -> Tensor:
        """Number of open gates, for the penalty; if gates are random, the expected number."""
        if self.config.edge_gate == "heaviside":
            return gates.sum()
        return hard_concrete.expected_l0(LOG_ALPHA * self.tau).sum()


class GatedEdges:
    """A model with a gate on each edge, in which dangling nodes are ablated."""

    def __init__(self, model: GPT, edges: EdgeList, dtype: torch.dtype = torch.float32) -> None:
        """edges: the edges that get gates, on the model's device."""
        self.model, self.edges = model, edges
        ablation = DanglingAblation(edges.nodes, mean_ablation(model).values)
        self.ablated = Ablated(model, edges.nodes, ablation=ablation, dtype=dtype)

    def losses(self, batch: TaskBatch, gates: Tensor) -> Tensor:
        """Task loss of each row, [B], with gates [E] on the edges; gradients reach the gates."""
        weights = self.edges.spread(gates)
        kept = nodes_on_paths(self.model, self.edges.nodes, {name: z.detach() > 0 for name, z in weights.items()})
        return self.ablated.under(kept, weights=weights).losses(batch, rows=len(batch))


class DanglingAblation:
    """An ablation that sets the nodes that are not kept to their means.

    A node that is not kept, but is in `nodes`, still passes gradients as if it were kept, because opening another edge
    may give it a path. Without a gradient the gates of its edges could never open again.
    """

    everywhere = False

    def __init__(self, nodes: Mapping[str, Tensor], means: Mapping[str, Tensor]) -> None:
        """nodes: site -> bool [C]; means: site -> [C]."""
        self.nodes, self.means = nodes, means

    def edge_values(self) -> Masks:
        return self.means

    def over(self, kept: Masks) -> Sites:
        """As in `Ablation`, with one site object for all pieces. kept: site -> bool [C]."""

        def site(name: str, x: Tensor) -> Tensor:
            if name not in self.nodes:
                return x
            nodes, on_path = (masks[name].to(x.device) for masks in (self.nodes, kept))
            ablated = torch.where(on_path, x, self.means[name].to(x.dtype))
            return torch.where(nodes, x + (ablated - x).detach(), ablated)

        return lambda _piece: site


def node_scores(model: GPT, edges: EdgeList, tau: Tensor) -> dict[str, Tensor]:
    """Site -> [C]: the highest tau among each node's edges, or -2, which is below any tau, for nodes without edges."""
    scores = {site: torch.full((len(mask),), -2.0) for site, mask in edges.nodes.items()}
    # `spread` puts 1 where there is no edge. Adding 3 before it and subtracting 3 after it makes this -2, and keeps tau
    at_edges = {name: values - 3 for name, values in edges.spread(tau + 3).items()}
    for edge_map in edge_maps(model):
        block = at_edges[edge_map.parameter][edge_map.rows, edge_map.columns]  # [O, I]
        for site, best in ((edge_map.target, block.amax(dim=1)), (edge_map.source, block.amax(dim=0))):
            scores[site] = torch.maximum(scores[site], best)
    return scores
