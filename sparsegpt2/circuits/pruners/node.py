"""The paper's node pruner (appendix A.5): a gate on every node, trained to do the task with few nodes.

Shapes: N nodes of the model (all channels of all node sites), G gates (fewer than nodes where q and k share theirs), R
runs side by side, B rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.gates import frozen, gate, join_nodes, split_nodes
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.circuits.ranking import Ranking, Watcher
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.score import task_batch, task_losses
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.progress import Progress

STEP_SEEDS = 1_000_003
"""Distance between the batch seeds of two pruning seeds: more than any number of steps."""

SHRINK = 0.8
"""Nodes that are given up are taken out of the computation when no more than this share of those in it is left."""


def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Nodes by tau after training the gates; `trained_size` is how many gates are open (tau >= 0)."""
    return rank_together(model, [task], [config], progress)[0]


def rank_together(
    model: GPT,
    tasks: Sequence[Task],
    configs: Sequence[PruneConfig],
    progress: Progress | None = None,
    *,
    stochastic: bool = False,
) -> list[Ranking]:
    """One ranking for each task and its config, trained side by side: a step is one forward and backward for all.

    Runs may differ in everything but `dtype`; each takes the steps it would take alone, with the same pairs, and ends
    with the same ranking but for rounding. stochastic: closed nodes are ablated at random (`NodeTraining.spare`).
    """
    sites, device, dtype = node_sites(model.config), model.wte.weight.device, one_dtype(configs)
    runs = [NodeTraining(model, *run) for run in zip(tasks, configs, strict=True)]
    reduction, longest = Reduction(model, every_node(model), dtype), max(config.steps for config in configs)
    with frozen(model, dtype), torch.enable_grad():
        while active := [run for run in runs if not run.finished]:
            batch = TaskBatch.join([run.next_batch() for run in active])
            owner = torch.cat([torch.full((2 * run.config.pairs,), i) for i, run in enumerate(active)]).to(device)
            gates = torch.stack([run.gates() for run in active])  # [R, N]
            masks, row_mask = gates, owner
            if stochastic:  # a mask for each row
                masks = torch.cat([run.spare(own) for run, own in zip(active, gates, strict=True)])  # [B, N]
                row_mask = torch.arange(len(batch), device=device)
            losses = task_losses(reduction, batch, split_nodes(masks, sites), row_mask, rows=len(batch))
            task_loss_of = [losses[owner == i].mean() for i in range(len(active))]
            objectives = zip(active, task_loss_of, gates.sum(dim=1), strict=True)
            sum(loss + run.penalty.k_coef * kept for run, loss, kept in objectives).backward()
            for run, loss, gate_of_run in zip(active, task_loss_of, gates, strict=True):
                run.step(loss.detach(), gate_of_run.detach().sum())
            live = torch.stack([run.node_tau >= run.config.drop_below for run in active]).any(dim=0)  # [N]
            if not stochastic and int(live.count_nonzero()) < SHRINK * reduction.size:
                reduction = Reduction(model, split_nodes(live, sites), dtype)
            active[0].tell(progress, longest, "nodes")
    return [run.ranking(sites) for run in runs]


def one_dtype(configs: Sequence[PruneConfig]) -> torch.dtype:
    """The precision that all of the configs name; two different ones are a `UserError`."""
    names = {config.dtype for config in configs}
    if len(names) != 1:
        raise UserError(f"runs that are pruned together must have one dtype, got {' and '.join(sorted(names))}")
    return getattr(torch, names.pop())  # type: ignore[no-any-return]


class GateTraining:
    """One run: its gates, what trains them, and how it went so far."""

    def __init__(self, model: GPT, task: Task, config: PruneConfig, number: int) -> None:
        config = replace(config, k_coef=starting_k_coef(config, number))
        self.model, self.task, self.config = model, task, config
        self.highest = highest_tau(config)
        self.tau = initial_tau(number, config).to(model.wte.weight.device).requires_grad_(True)  # [G]
        self.optimizer = torch.optim.AdamW([self.tau], betas=config.betas, weight_decay=config.weight_decay)
        self.penalty = Penalty(config)
        self.history: list[dict[str, float]] = []

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the gates have settled."""
        return len(self.history) == self.config.steps or self.settled

    @property
    def settled(self) -> bool:
        """Whether for `settle_steps` steps no gate was gained or lost, after some had closed, at the target loss."""
        recent = {entry["kept"] for entry in self.history[-self.config.settle_steps :]}
        running = self.penalty.running
        return (
            0 < self.config.settle_steps < len(self.history)
            and len(recent) == 1
            and recent < {entry["kept"] for entry in self.history}
            and (running is None or running <= self.config.target_loss)
        )

    def next_batch(self) -> TaskBatch:
        """Fresh training pairs for the next step."""
        seed = self.config.seed * STEP_SEEDS + len(self.history)
        return task_batch(self.model, self.task, "train", self.config.pairs, seed)

    def gates(self) -> Tensor:
        """0 or 1 for each gate, [G], with its gradient."""
        return gate(self.tau, self.config.temperature)

    def step(self, loss: Tensor, kept: Tensor) -> None:
        """Move the gates along their gradient; the task loss (nats) and the number of open gates go on record."""
        config = self.config
        torch.nn.utils.clip_grad_norm_([self.tau], config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * schedule((len(self.history) + 1) / config.steps, config.warmup)
        self.optimizer.step()
        with torch.no_grad():
            self.tau.clamp_(-1, self.highest)
        self.optimizer.zero_grad()
        self.history.append(record(self.task, loss, kept, self.penalty))
        self.penalty.update(self.history[-1]["task_loss"])

    def tell(self, progress: Progress | None, steps: int, what: str) -> None:
        """Say how far it is; a `Watcher` sees the step's entry too, and may end the training."""
        if progress is not None:
            latest = self.history[-1]
            progress(len(self.history), steps, f"pruning: loss {latest['task_loss']:.3f}, {latest['kept']} {what}")
        if isinstance(progress, Watcher):
            progress.see(self.history[-1], len(self.history), steps)


class NodeTraining(GateTraining):
    """Gates of nodes: one for each, or one for a q and a k channel that meet in the scores of a head."""

    def __init__(self, model: GPT, task: Task, config: PruneConfig) -> None:
        self.gate_of_node = gate_of_node(model, config.tied_qk)  # [N]
        super().__init__(model, task, config, int(self.gate_of_node.max()) + 1)
        self.chance = torch.Generator().manual_seed(config.seed)

    @property
    def node_tau(self) -> Tensor:
        """tau of each node's gate, [N], detached."""
        return self.tau.detach()[self.gate_of_node]

    def gates(self) -> Tensor:
        """0 or 1 for each node, [N], with the gates' gradient.

        Where the circuit will be trimmed, open nodes without a path from an input to the logits count as closed, as
        they will be; they pass their gradient, as another open node may give them a path.
        """
        gates = super().gates()[self.gate_of_node]
        if self.config.trim == "none":
            return gates
        sites, values = node_sites(self.model.config), gates.detach()
        on_path = join_nodes(nodes_on_paths(self.model, split_nodes(values > 0, sites)), sites)
        return gates + (values * on_path - values)

    def spare(self, gates: Tensor) -> Tensor:
        """Gates [N] -> masks for each row of a batch, [B, N], in which some closed nodes are left alone.

        Every row draws its own rate uniformly from `ablation_rate` to 1, and a closed node is ablated at that rate.
        """
        rows, least = 2 * self.config.pairs, self.config.ablation_rate
        rates = least + (1 - least) * torch.rand(rows, 1, generator=self.chance)
        spared = (torch.rand(rows, len(gates), generator=self.chance) >= rates).to(gates)
        return gates + (1 - gates) * spared

    def ranking(self, sites: Mapping[str, int]) -> Ranking:
        """What came out."""
        tau = self.node_tau
        return Ranking(split_nodes(tau, sites), trained_size=int((tau >= 0).sum()), history=self.history)


def gate_of_node(model: GPT, tied_qk: bool) -> Tensor:
    """Index of each node's gate, int64 [N]: its own, or the same for channel j of a layer's q and of its k."""
    first, owners = 0, list[Tensor]()
    for site, width in node_sites(model.config).items():
        if tied_qk and site.endswith("attn.k"):
            owners.append(owners[-1])  # the site before it is q
            continue
        owners.append(torch.arange(first, first + width))
        first += width
    return torch.cat(owners).to(model.wte.weight.device)


def starting_k_coef(config: PruneConfig, gates: int) -> float:
    """What a gate costs at first: `k_coef`, but under the controller at most `pressure` for all gates together."""
    return config.k_coef if config.penalty == "fixed" else min(config.k_coef, config.pressure / gates)


def initial_tau(nodes: int, config: PruneConfig) -> Tensor:
    """tau [N] at the start: normal(init_noise_bias, init_noise_scale), clamped to [-1, 1]."""
    generator = torch.Generator().manual_seed(config.seed)
    return (config.init_noise_bias + config.init_noise_scale * torch.randn(nodes, generator=generator)).clamp(-1, 1)


def highest_tau(config: PruneConfig) -> float:
    """How far a tau may rise."""
    return min(1.0, config.init_noise_bias + config.headroom)


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
