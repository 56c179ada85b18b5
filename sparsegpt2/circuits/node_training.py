"""Train gates on nodes, for one or several tasks and settings at once: each step is one forward and one backward pass.

Shapes: N nodes of the model (all channels of all node sites), G gates (fewer than nodes if q and k share theirs), R
runs trained together, M masks of one run, B rows of a batch. tau is the trained parameter of a gate, and a node is
closed if its gate is 0 (docs/definitions.md, Closed node).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sparsegpt2.circuits import host
from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.gate_training import GateTraining
from sparsegpt2.circuits.gates import frozen, join_nodes, split_nodes
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.settings import NodeSettings
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.circuits.trim import will_trim
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.progress import Progress

SHRINK = 0.8
"""A node is given up if its tau has fallen below the setting `drop_below`. Nodes that every run has given up are left
out of the computation, but only once fewer than this share of the nodes computed so far would remain."""


class NodeTraining(GateTraining):
    """Gates on nodes: one for each node, or with `tied_qk` one for a q channel and the k channel that it multiplies."""

    gives_up = True
    """Whether nodes whose tau has fallen below the setting `drop_below` are left out of the computation."""

    def __init__(self, model: GPT, task: Task, config: NodeSettings) -> None:
        self.gate_of_node = gate_of_node(model, config.tied_qk)  # [N]
        super().__init__(model, task, config, int(self.gate_of_node.max()) + 1)
        self.trims = will_trim(config)

    @property
    def node_tau(self) -> Tensor:
        """tau of each node's gate, [N], detached."""
        return self.tau.detach()[self.gate_of_node]

    def gates(self) -> Tensor:
        """0 or 1 for each node, [N], with the gates' surrogate gradient.

        A node dangles if it is on no path of open nodes from an input to the logits. If the circuit will be trimmed, an
        open node that dangles gets 0, because trimming would drop it. It still passes its gradient, because opening
        another node may give it a path.
        """
        gates = super().gates()[self.gate_of_node]
        if not self.trims:
            return gates
        sites, values = node_sites(self.model.config), gates.detach()
        on_path = join_nodes(nodes_on_paths(self.model, split_nodes(values > 0, sites)), sites)
        return gates + (values * on_path - values)

    def masks(self, gates: Tensor) -> Tensor:
        """The masks of a step, made from its gates [N]. Here it is one mask for all rows, [1, N].

        A subclass may return one for each row, [2 * pairs, N].
        """
        return gates[None]

    def ranking(self, sites: Mapping[str, int]) -> Ranking:
        """The nodes ranked by tau. sites: site -> number of channels."""
        tau = self.node_tau
        return Ranking(split_nodes(tau, sites), trained_size=int((tau >= 0).sum()), history=self.history)


def train_nodes(
    model: GPT,
    tasks: Sequence[Task],
    configs: Sequence[NodeSettings],
    progress: Progress | None = None,
    *,
    training: type[NodeTraining] = NodeTraining,
) -> list[Ranking]:
    """Train gates for each task with its config, and return one ranking for each. Runs are trained together.

    Each step is one forward and one backward pass for all runs. Runs may differ in everything except `dtype`. Each run
    takes the same steps as it would alone, on the same pairs, and gives the same ranking up to rounding. training: the
    class of the runs.
    """
    sites, device, dtype = node_sites(model.config), model.wte.weight.device, one_dtype(configs)
    runs = [training(model, task, config) for task, config in zip(tasks, configs, strict=True)]
    everything = every_node(model)
    ablated, longest = Ablated(model, everything, live=everything, dtype=dtype), max(one.steps for one in configs)
    size, step = sum(sites.values()), 0  # number of nodes that are computed, and of steps taken
    with frozen(model, dtype), torch.enable_grad():
        while active := [run for run in runs if not run.finished]:
            batch = TaskBatch.join([run.next_batch() for run in active])
            gates = torch.stack([run.gates() for run in active])  # [R, N]
            masks = [run.masks(own) for run, own in zip(active, gates, strict=True)]  # each [M, N]
            owner, rows = _owners(masks, [2 * run.config.pairs for run in active], device)
            kept = split_nodes(torch.cat(masks), sites)
            losses = ablated.under(kept, owner=owner).losses(batch, rows=len(batch))
            task_loss_of = [own.mean() for own in losses.split(rows)]
            objectives = zip(active, task_loss_of, gates.sum(dim=1), strict=True)
            sum(loss + run.penalty.cost(open_gates) for run, loss, open_gates in objectives).backward()
            for run, loss, gate_of_run in zip(active, task_loss_of, gates, strict=True):
                run.step(loss.detach(), gate_of_run.detach().sum())
            step += 1
            if training.gives_up and step % host.look_every(device) == 0:
                live = torch.stack([run.node_tau >= run.config.drop_below for run in active]).any(dim=0)  # [N]
                if (left := int(live.count_nonzero())) < SHRINK * size:
                    size, live_nodes = left, split_nodes(live, sites)
                    ablated = Ablated(model, everything, ablation=ablated.ablation, live=live_nodes, dtype=dtype)
            active[0].tell(progress, longest, "nodes")
    return [run.ranking(sites) for run in runs]


def _owners(masks: Sequence[Tensor], rows: list[int], device: torch.device) -> tuple[Tensor, list[int]]:
    """The index of the mask that each row of the joined batch uses, int64 [B], and `rows`, unchanged.

    masks: the masks of each run, [M, N], where M is 1 or the run's number of rows. The index counts the masks of all
    runs in this order. rows: number of rows of each run.
    """
    first, owners = 0, list[Tensor]()
    for own, count in zip(masks, rows, strict=True):
        one_each = len(own) == count
        owners.append(
            torch.arange(first, first + count, device=device)
            if one_each
            else torch.full((count,), first, dtype=torch.int64, device=device)
        )
        first += len(own)
    return torch.cat(owners), rows


def one_dtype(configs: Sequence[NodeSettings]) -> torch.dtype:
    """The `dtype` of all configs; a `UserError` if they differ."""
    names = {config.dtype for config in configs}
    if len(names) != 1:
        raise UserError(f"runs that are pruned together must have one dtype, got {' and '.join(sorted(names))}")
    return getattr(torch, names.pop())  # type: ignore[no-any-return]


def gate_of_node(model: GPT, tied_qk: bool) -> Tensor:
    """The index of each node's gate, int64 [N].

    Every node has its own gate, but with `tied_qk` channel j of a layer's q and channel j of its k share one.
    """
    first, owners = 0, list[Tensor]()
    for site, width in node_sites(model.config).items():
        if tied_qk and site.endswith("attn.k"):
            owners.append(owners[-1])  # the site before it is q
            continue
        owners.append(torch.arange(first, first + width))
        first += width
    return torch.cat(owners).to(model.wte.weight.device)
