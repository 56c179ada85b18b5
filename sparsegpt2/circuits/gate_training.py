"""Training gates: what the pruners of nodes and of edges share (paper, appendix A.5).

A gate is 1 where its tau is 0 or more, else 0, and passes a gradient all the same (`gates.gate`). A step draws fresh
prompt pairs, adds to the task loss what the open gates cost, and moves tau along the gradient. What a gate costs is
set by a controller (`Penalty`) that holds the task loss at its target.

A step launches its work and does not wait for the device: no number is read from it. So the controller and the test
whether the gates have settled are kept on the device, as float64 tensors, and a step leaves its numbers there. The host
reads them when that is free, after every step on the CPU, and every `host.LOOK_EVERY` steps elsewhere. How often it
looks changes no circuit: a run that has settled no longer moves, whenever the host finds out.

Shapes: G gates, B rows of a batch.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from sparsegpt2.circuits import host
from sparsegpt2.circuits.gates import gate
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.ranking import Watcher
from sparsegpt2.circuits.settings import GateSettings
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

STEP_SEEDS = 1_000_003
"""Distance between the batch seeds of two pruning seeds: more than any number of steps."""


class GateTraining:
    """One run: its gates, what trains them, and how it went so far."""

    def __init__(self, model: GPT, task: Task, config: GateSettings, number: int) -> None:
        config = replace(config, k_coef=starting_k_coef(config, number))
        self.model, self.task, self.config = model, task, config
        self.device = model.wte.weight.device
        self.highest = highest_tau(config)
        self.tau = initial_tau(number, config).to(self.device).requires_grad_(True)  # [G]
        self.optimizer = torch.optim.AdamW([self.tau], betas=config.betas, weight_decay=config.weight_decay)
        self.penalty = Penalty(config, self.device)
        self.settling = Settling(config, self.device)
        self.taken = 0
        """Steps taken."""
        self.history: list[dict[str, float]] = []
        """An entry for each step that the host has looked at; of a run that has settled, none after that."""
        self.told = 0
        """Entries of the history that were passed on."""
        self.settled = False
        """Whether the host has seen that the gates have settled."""
        self._unseen: list[Tensor] = []

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the gates have settled."""
        return self.settled or self.taken == self.config.steps

    def next_batch(self) -> TaskBatch:
        """Fresh training pairs for the next step."""
        seed = self.config.seed * STEP_SEEDS + self.taken
        return task_batch(self.model, self.task, "train", self.config.pairs, seed)

    def gates(self) -> Tensor:
        """0 or 1 for each gate, [G], with its gradient."""
        return gate(self.tau, self.config.temperature)

    def step(self, loss: Tensor, kept: Tensor) -> None:
        """Move the gates along their gradient. loss: of the task in nats, kept: number of open gates; both detached."""
        config, looks = self.config, host.look_every(self.device)
        held = self.tau.detach().clone() if looks > 1 else None
        torch.nn.utils.clip_grad_norm_([self.tau], config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * schedule((self.taken + 1) / config.steps, config.warmup)
        self.optimizer.step()
        with torch.no_grad():
            self.tau.clamp_(-1, self.highest)
            if held is not None:  # settled some steps ago, and the host has not looked since: stay where that was
                self.tau.copy_(torch.where(self.settling.settled, held, self.tau))
        self.optimizer.zero_grad()
        k_coef = self.penalty.k_coef
        self.penalty.update(loss)
        self.settling.update(kept, self.penalty.running)
        self._unseen.append(torch.stack([loss.double(), kept.double(), k_coef, self.settling.settled.double()]))
        self.taken += 1
        if self.taken % looks == 0 or self.taken == config.steps:
            self._look()

    def _look(self) -> None:
        """Read the numbers of the steps since the last look; a loss that is not finite is a `UserError`."""
        for loss, kept, k_coef, settled in torch.stack(self._unseen).tolist():
            if not math.isfinite(loss):
                raise UserError(f"task {self.task.name} has no finite loss: the model's weights or node means hold NaN")
            if not self.settled:
                self.history.append({"task_loss": loss, "kept": int(kept), "k_coef": k_coef})
            self.settled = self.settled or bool(settled)
        self._unseen.clear()

    def tell(self, progress: Progress | None, steps: int, what: str) -> None:
        """Say what is new since the last time; a `Watcher` sees the entry of each step, and may end the training."""
        new, self.told = self.history[self.told :], len(self.history)
        if progress is None or not new:
            return
        progress(self.told, steps, f"pruning: loss {new[-1]['task_loss']:.3f}, {new[-1]['kept']} {what}")
        if isinstance(progress, Watcher):
            for step, entry in enumerate(new, self.told - len(new) + 1):
                progress.see(entry, step, steps)


class Penalty:
    """What a kept gate costs: fixed, or the output of a controller that holds the task loss at its target.

    The controller treats the target as a constraint and k_coef as its multiplier: while the running task loss is under
    the aim, k_coef rises, while it is over, it falls; by a factor, as its right size spans orders of magnitude. It is
    the sum of a lasting part, which finds that size, and an immediate one, as gates answer with a delay of many steps.
    """

    def __init__(self, config: GateSettings, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.k_coef = torch.tensor(config.k_coef, dtype=torch.float64, device=device)
        """Nats a kept gate costs in this step: a scalar on the device."""
        self.lasting = math.log(config.k_coef) * torch.ones_like(self.k_coef)
        self.aim = config.controller_margin * config.target_loss
        self.running: Tensor | None = None
        """Running mean of the task loss, which the controller alone needs."""

    def cost(self, kept: Tensor) -> Tensor:
        """What `kept` open gates cost, in nats."""
        return self.k_coef.to(kept.dtype) * kept

    def update(self, task_loss: Tensor) -> None:
        """Take in the task loss (nats) of a step."""
        config = self.config
        if config.penalty == "fixed":
            return
        memory, loss = config.controller_memory, task_loss.double()
        self.running = loss if self.running is None else memory * self.running + (1 - memory) * loss
        error = (self.aim / self.running.clamp(min=1e-9)).log().clamp(-1, 1)
        self.lasting = self.lasting + config.controller_rate * error
        self.k_coef = (self.lasting + config.controller_gain * error).exp()


class Settling:
    """Whether for `settle_steps` steps no gate was gained or lost, after some had closed, at the target loss."""

    def __init__(self, config: GateSettings, device: torch.device) -> None:
        self.config = config
        self.settled = torch.zeros((), dtype=torch.bool, device=device)
        self.kept: Tensor | None = None
        self.alike = torch.ones((), dtype=torch.int64, device=device)
        """Steps in a row with as many open gates."""
        self.changed = self.settled

    def update(self, kept: Tensor, running: Tensor | None) -> None:
        """Take in a step's number of open gates and its running task loss (None: not asked for)."""
        config = self.config
        if self.kept is not None:
            same = kept == self.kept
            self.alike = torch.where(same, self.alike + 1, 1)
            self.changed = self.changed | ~same
        self.kept = kept
        if config.settle_steps:
            now = self.changed & (self.alike >= config.settle_steps)
            self.settled = self.settled | (now if running is None else now & (running <= config.target_loss))


def starting_k_coef(config: GateSettings, gates: int) -> float:
    """What a gate costs at first: `k_coef`, but under the controller at most `pressure` for all gates together."""
    return config.k_coef if config.penalty == "fixed" else min(config.k_coef, config.pressure / gates)


def initial_tau(nodes: int, config: GateSettings) -> Tensor:
    """tau [N] at the start: normal(init_noise_bias, init_noise_scale), clamped to [-1, 1]."""
    generator = torch.Generator().manual_seed(config.seed)
    return (config.init_noise_bias + config.init_noise_scale * torch.randn(nodes, generator=generator)).clamp(-1, 1)


def highest_tau(config: GateSettings) -> float:
    """How far a tau may rise."""
    return min(1.0, config.init_noise_bias + config.headroom)


def schedule(progress: float, warmup: float) -> float:
    """Share of the learning rate at `progress` (0 to 1) of training: linear from 0 over `warmup`, then linear to 0."""
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)
