"""Training gates: what the pruners of nodes and of edges share (paper, appendix A.5).

A gate is 1 if its parameter tau is 0 or more, else 0; a surrogate gradient passes through it (`gates.gate`). Each step
draws fresh prompt pairs, adds a penalty for the open gates to the task loss, and moves tau along the gradient. A
controller (`Penalty`) sets the penalty so that the task loss stays at its target.

A step never waits for the device, since it reads no numbers from it. So the state of the controller, and of the test
whether the gates have settled, are float64 tensors on the device, and each step leaves its numbers there. The host
reads them after every step on the CPU, where that is free, and every `host.LOOK_EVERY` steps elsewhere. How often it
reads does not change the circuit: gates that have settled no longer move, even before the host knows.

Shapes: G gates, B rows of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from sparsegpt2.circuits import host
from sparsegpt2.circuits.aim import Aim, at_least_0, at_least_1, one_of, positive
from sparsegpt2.circuits.gates import gate
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.ranking import Watcher
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

STEP_SEEDS = 1_000_003
"""Difference between the batch seeds of two neighbouring pruning seeds; more than any number of steps."""


@dataclass(frozen=True, kw_only=True)
class GateSettings(Aim):
    """How gates on nodes or on edges are trained."""

    pairs: int = 16
    """Prompt pairs in a batch, two sequences each (paper: 64; a quarter of that measured no worse here, in a third of
    the time)."""
    steps: int = 150
    """Largest number of training steps, each on fresh pairs of the train split."""
    settle_steps: int = 20
    """Training ends early once the number of open gates has stayed the same for this many steps while the task loss
    meets the target (0: never)."""
    lr: float = 6e-3
    """AdamW's learning rate for the gate parameters tau (paper's centre: 3e-3, over more steps)."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises from 0 (paper's table: 0.05); then it falls to 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the first and second moments (paper's centre of 1 - beta2: 0.05)."""
    weight_decay: float = 1e-3
    """Decoupled decay of tau towards 0 (paper's centre: 1e-3)."""
    clip: float = 1.0
    """Largest norm of the gradient with respect to all tau; a larger gradient is scaled down to it."""
    temperature: float = 1.0
    """T in the gates' surrogate gradient, the derivative of sigmoid(tau / T) (paper's centre: 1)."""
    init_noise_bias: float = 0.05
    """Mean of the initial tau; above 0, so that pruning starts from the whole model (paper's centre: 0.1)."""
    headroom: float = 0.01
    """How far above `init_noise_bias` a tau may rise (paper: to 1). A small value keeps noise from carrying a gate so
    high that it cannot close at the end of training, when the learning rate is low."""
    init_noise_scale: float = 0.01
    """Standard deviation of the initial tau (paper's centre: 0.01)."""

    drop_below: float = -0.05
    """A node whose tau has fallen below this is given up: it stays ablated and is no longer computed (-1: never). In
    our measurements no node this far below the threshold of 0 ever came back."""

    penalty: Literal["controller", "fixed"] = "controller"
    """Whether a controller adjusts `k_coef` during training, or it stays fixed (paper: fixed, searched per task)."""
    k_coef: float = 5e-4
    """Penalty in nats for each open gate (paper's centre: 1e-4). The controller starts from this value or, limited by
    `pressure`, a lower one. Too high a value closes all gates at once, and then no gradient reopens them."""
    pressure: float = 1.0
    """Largest penalty in nats for all gates together when the controller starts. So `k_coef` starts lower in wide
    models and for edges: at the same value, ten times as many gates all closed at once."""
    controller_rate: float = 0.05
    """Largest lasting change of log k_coef per step: up while the running task loss is below the controller's aim, else
    down."""
    controller_gain: float = 1.0
    """Largest immediate change of log k_coef, up or down, on top of the lasting one; without it the penalty overshoots.
    Twice as much closed all gates at once in models that are very confident on a task."""
    controller_memory: float = 0.9
    """Decay per step of the running mean of the task loss that the controller uses."""
    controller_margin: float = 0.9
    """The controller aims at this share of `target_loss`, so that fresh pairs meet the target too."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the model while gates are trained; circuits are scored and chosen in float32."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", tuple(self.betas))
        at_least_1(self, "steps", "pairs")
        positive(self, "lr", "clip", "temperature", "k_coef", "pressure")
        at_least_0(self, "settle_steps", "weight_decay", "headroom", "init_noise_scale")
        at_least_0(self, "controller_rate", "controller_gain")
        for name in ("warmup", "controller_memory"):
            require(0 <= getattr(self, name) < 1, f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        require(0 < self.controller_margin <= 1, f"controller_margin must be in (0, 1], got {self.controller_margin}")
        require(-1 <= self.drop_below <= 0, f"drop_below must be in [-1, 0], got {self.drop_below}")
        require(-1 <= self.init_noise_bias <= 1, f"init_noise_bias must be in [-1, 1], got {self.init_noise_bias}")
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"betas must be two numbers from 0 to below 1, got {self.betas}",
        )
        one_of(self, "penalty", "controller", "fixed")
        one_of(self, "dtype", "bfloat16", "float32")


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
        """Steps taken."""
        self.history: list[dict[str, float]] = []
        """One entry per step that the host has read, up to the step at which the gates settled."""
        self.told = 0
        """Number of history entries already reported."""
        self.settled = False
        """Whether the host knows that the gates have settled."""
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
        """Read the numbers of the steps since the last read; a loss that is not finite is a `UserError`."""
        for loss, kept, k_coef, settled in torch.stack(self._unseen).tolist():
            if not math.isfinite(loss):
                raise UserError(f"task {self.task.name} has no finite loss: the model's weights or node means hold NaN")
            if not self.settled:
                self.history.append({"task_loss": loss, "kept": int(kept), "k_coef": k_coef})
            self.settled = self.settled or bool(settled)
        self._unseen.clear()

    def tell(self, progress: Progress | None, steps: int, what: str) -> None:
        """Report the new history entries; a `Watcher` gets each entry and may end the training by an exception.

        steps: total to show. what: the word for what the gates are on, such as `nodes`.
        """
        new, self.told = self.history[self.told :], len(self.history)
        if progress is None or not new:
            return
        progress(self.told, steps, f"pruning: loss {new[-1]['task_loss']:.3f}, {new[-1]['kept']} {what}")
        if isinstance(progress, Watcher):
            for step, entry in enumerate(new, self.told - len(new) + 1):
                progress.see(entry, step, steps)


class Penalty:
    """The penalty for each open gate: fixed, or set by a controller that holds the task loss at its target.

    The controller treats the target as a constraint and k_coef as its multiplier. k_coef rises while the running task
    loss is below the aim and falls while it is above. It changes by factors, since the right value can lie anywhere
    within several orders of magnitude. log k_coef is the sum of a lasting part, which finds that value, and an
    immediate part, which is needed because gates respond with a delay of many steps.
    """

    def __init__(self, config: GateSettings, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.k_coef = torch.tensor(config.k_coef, dtype=torch.float64, device=device)
        """Penalty in nats for each open gate in this step: a scalar on the device."""
        self.lasting = math.log(config.k_coef) * torch.ones_like(self.k_coef)
        self.aim = config.controller_margin * config.target_loss
        self.running: Tensor | None = None
        """Running mean of the task loss; stays None with a fixed penalty, which does not need it."""

    def cost(self, kept: Tensor) -> Tensor:
        """Penalty in nats for `kept` open gates."""
        return self.k_coef.to(kept.dtype) * kept

    def update(self, task_loss: Tensor) -> None:
        """Adjust k_coef after a step. task_loss: of that step, in nats."""
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

    They have when the number of open gates has changed at least once, has then stayed the same for `settle_steps`
    steps, and the running task loss meets the target.
    """

    def __init__(self, config: GateSettings, device: torch.device) -> None:
        self.config = config
        self.settled = torch.zeros((), dtype=torch.bool, device=device)
        self.kept: Tensor | None = None
        self.alike = torch.ones((), dtype=torch.int64, device=device)
        """Consecutive steps with the same number of open gates."""
        self.changed = self.settled

    def update(self, kept: Tensor, running: Tensor | None) -> None:
        """Use a step's number of open gates and the running task loss (None: the loss need not meet the target)."""
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
    """The initial penalty for each gate: `k_coef`; with the controller, at most `pressure` for all gates together."""
    return config.k_coef if config.penalty == "fixed" else min(config.k_coef, config.pressure / gates)


def initial_tau(nodes: int, config: GateSettings) -> Tensor:
    """Initial tau, one for each of `nodes` gates: normal(init_noise_bias, init_noise_scale), clamped to [-1, 1]."""
    generator = torch.Generator().manual_seed(config.seed)
    return (config.init_noise_bias + config.init_noise_scale * torch.randn(nodes, generator=generator)).clamp(-1, 1)


def highest_tau(config: GateSettings) -> float:
    """The upper limit of tau."""
    return min(1.0, config.init_noise_bias + config.headroom)


def schedule(progress: float, warmup: float) -> float:
    """Share of the learning rate at `progress` (0 to 1) of training: linear from 0 over `warmup`, then linear to 0."""
    if progress < warmup:
        return progress / warmup
    return (1 - progress) / (1 - warmup)
