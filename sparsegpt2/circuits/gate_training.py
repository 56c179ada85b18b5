"""Training gates: what the pruners of nodes and of edges share (paper, appendix A.5).

A gate is 1 if its parameter tau is 0 or more, else 0, and a surrogate gradient passes through it (`gates.gate`;
docs/definitions.md, Gate). The edge pruner can use random gates instead. Each step draws fresh prompt pairs, adds a
penalty for the open gates to the task loss, and moves tau against the gradient of the sum. A controller (`Penalty`)
changes the penalty so that the task loss stays near its target, or the penalty is fixed.

A training step reads no numbers from the device, so the host (the CPU) never has to wait for a GPU. The controller, and
the test whether the gates have settled, keep their state in tensors on the device. Each step also stores its loss and
its number of open gates in such a tensor. If the device is the CPU, the host reads these tensors after every step,
because it need not wait for them. Otherwise it reads them every `host.LOOK_EVERY` steps. How often it reads does not
change the circuit, because gates that have settled no longer move, even before the host knows that they have.

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
"""Difference between the first batch seeds of two consecutive pruning seeds. No run has so many steps, so runs with
different pruning seeds share no batch seed."""


class GateTraining:
    """One training run: its gates, their optimizer and penalty, and its history so far."""

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
        """Number of steps taken so far."""
        self.history: list[dict[str, float]] = []
        """One entry for each step that the host has read, up to the step at which the gates settled."""
        self.told = 0
        """Number of history entries that have been reported to the progress callback."""
        self.settled = False
        """Whether the host knows that the gates have settled."""
        self._unseen: list[Tensor] = []

    @property
    def finished(self) -> bool:
        """Whether all steps are done, or the gates have settled."""
        return self.settled or self.taken == self.config.steps

    def next_batch(self) -> TaskBatch:
        """Fresh pairs of the train split for the next step."""
        seed = self.config.seed * STEP_SEEDS + self.taken
        return task_batch(self.model, self.task, "train", self.config.pairs, seed)

    def gates(self) -> Tensor:
        """0 or 1 for each gate, [G], with a surrogate gradient."""
        return gate(self.tau, self.config.temperature)

    def step(self, loss: Tensor, kept: Tensor) -> None:
        """Take one optimizer step. loss: task loss in nats; kept: number of open gates; both detached scalars."""
        config, looks = self.config, host.look_every(self.device)
        held = self.tau.detach().clone() if looks > 1 else None
        torch.nn.utils.clip_grad_norm_([self.tau], config.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * schedule((self.taken + 1) / config.steps, config.warmup)
        self.optimizer.step()
        with torch.no_grad():
            self.tau.clamp_(-1, self.highest)
            if held is not None:  # the gates may have settled since the host last read; then tau must not move
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
        """Read the numbers of all steps since the last read; `UserError` if a loss is not finite."""
        for loss, kept, k_coef, settled in torch.stack(self._unseen).tolist():
            if not math.isfinite(loss):
                raise UserError(
                    f"the loss on task {self.task.name} is not finite: the model's weights or node means contain NaN"
                )
            if not self.settled:
                self.history.append({"task_loss": loss, "kept": int(kept), "k_coef": k_coef})
            self.settled = self.settled or bool(settled)
        self._unseen.clear()

    def tell(self, progress: Progress | None, steps: int, what: str) -> None:
        """Report the history entries that are new since the last call to `progress`.

        A `Watcher` gets each entry, and may end the training by raising an exception. steps: the total number of steps
        to show. what: what the gates are on, such as `nodes`.
        """
        new, self.told = self.history[self.told :], len(self.history)
        if progress is None or not new:
            return
        progress(self.told, steps, f"pruning: loss {new[-1]['task_loss']:.3f}, {new[-1]['kept']} {what}")
        if isinstance(progress, Watcher):
            for step, entry in enumerate(new, self.told - len(new) + 1):
                progress.see(entry, step, steps)


class Penalty:
    """The penalty for each open gate. It is fixed, or a controller changes it to hold the task loss at an aim.

    The controller treats its aim as a constraint on the loss, and the penalty k_coef as the Lagrange multiplier of that
    constraint. The aim is `controller_margin` times the target loss. k_coef rises while the running mean of the task
    loss is below the aim, and falls while it is above. It is changed by factors, because the right value can be
    anywhere within several orders of magnitude. log k_coef is the sum of two parts. The lasting part adds up over the
    steps, until it reaches the right value. The immediate part depends only on the current running mean. It is needed
    because gates respond many steps late.
    """

    def __init__(self, config: GateSettings, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.k_coef = torch.tensor(config.k_coef, dtype=torch.float64, device=device)
        """Penalty in nats for each open gate in this step; a scalar tensor on the device."""
        self.lasting = math.log(config.k_coef) * torch.ones_like(self.k_coef)
        self.aim = config.controller_margin * config.target_loss
        self.running: Tensor | None = None
        """Running mean of the task loss. It stays None if the penalty is fixed, because only the controller needs
        it."""

    def cost(self, kept: Tensor) -> Tensor:
        """Penalty in nats if `kept` gates are open."""
        return self.k_coef.to(kept.dtype) * kept

    def update(self, task_loss: Tensor) -> None:
        """Adjust k_coef after a step. task_loss: the task loss of that step, in nats."""
        config = self.config
        if config.penalty == "fixed":
            return
        memory, loss = config.controller_memory, task_loss.double()
        self.running = loss if self.running is None else memory * self.running + (1 - memory) * loss
        error = (self.aim / self.running.clamp(min=1e-9)).log().clamp(-1, 1)
        self.lasting = self.lasting + config.controller_rate * error
        self.k_coef = (self.lasting + config.controller_gain * error).exp()


class Settling:
    """Whether the gates have settled.

    They have settled when the number of open gates has changed at least once and has then stayed the same for
    `settle_steps` steps, and the running task loss meets the target.
    """

    def __init__(self, config: GateSettings, device: torch.device) -> None:
        self.config = config
        self.settled = torch.zeros((), dtype=torch.bool, device=device)
        self.kept: Tensor | None = None
        self.alike = torch.ones((), dtype=torch.int64, device=device)
        """Consecutive steps with the same number of open gates."""
        self.changed = self.settled

    def update(self, kept: Tensor, running: Tensor | None) -> None:
        """Take note of a step.

        kept: number of open gates. running: running mean of the task loss. It is None if the penalty is
        fixed. In that case gates can settle whatever the loss is.
        """
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
    """The initial penalty in nats for each open gate.

    It is `k_coef`. With the controller it is lowered, if necessary, so that all gates together cost at most `pressure`.
    """
    return config.k_coef if config.penalty == "fixed" else min(config.k_coef, config.pressure / gates)


def initial_tau(nodes: int, config: GateSettings) -> Tensor:
    """The initial tau of each of `nodes` gates, clamped to [-1, 1].

    It is drawn from a normal distribution with mean `init_noise_bias` and standard deviation `init_noise_scale`.
    """
    generator = torch.Generator().manual_seed(config.seed)
    return (config.init_noise_bias + config.init_noise_scale * torch.randn(nodes, generator=generator)).clamp(-1, 1)


def highest_tau(config: GateSettings) -> float:
    """The upper limit of tau: the mean of its initial values plus `headroom`, at most 1."""
    return min(1.0, config.init_noise_bias + config.headroom)


def schedule(progress: float, warmup: float) -> float:
    """The factor by which the learning rate is multiplied at `progress` (0 to 1) of training.

    It rises linearly from 0 to 1 over the share `warmup` of training, then falls linearly to 0.
    """
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)
