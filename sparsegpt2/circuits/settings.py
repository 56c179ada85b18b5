"""Settings of gate training, of each pruner and of trimming.

They are separate from the code that uses them, so that reading a command's settings does not import torch. A pruner's
file imports its own under the name `Settings`; `config.py` joins them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsegpt2.circuits.aim import Aim, at_least_0, at_least_1, one_of, positive
from sparsegpt2.config import require


@dataclass(frozen=True, kw_only=True)
class TrimSettings(Aim):
    """Whether a circuit is trimmed."""

    trim: Literal["none", "nodes", "edges"] = "none"
    """What is removed greedily after pruning if the circuit does not need it (trim.py): nothing, nodes, or nodes and
    edges. Unless it is nothing, sizes are scored without dangling nodes, those on no kept path from an input to the
    logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "trim", "none", "nodes", "edges")


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
            require(0 <= getattr(self, name) < 1, f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        require(0 < self.controller_margin <= 1, f"controller_margin must be in (0, 1], got {self.controller_margin}")
        require(-1 <= self.drop_below <= 0, f"drop_below must be in [-1, 0], got {self.drop_below}")
        require(-1 <= self.init_noise_bias <= 1, f"init_noise_bias must be in [-1, 1], got {self.init_noise_bias}")
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"betas must be two numbers, each at least 0 and below 1, got {self.betas}",
        )
        one_of(self, "penalty", "controller", "fixed")
        one_of(self, "dtype", "bfloat16", "float32")


@dataclass(frozen=True, kw_only=True)
class NodeSettings(GateSettings):
    """How gates on nodes are trained."""

    tied_qk: bool = False
    """One gate for each pair of a q and a k channel that are multiplied in a head's scores (which the paper's authors
    recommend in hindsight)."""


@dataclass(frozen=True, kw_only=True)
class EdgeSettings(NodeSettings):
    """Settings of the edge pruner; they include the node pruner's, which may run first."""

    edge_start: Literal["model", "circuit"] = "model"
    """Which edges the edge pruner puts gates on: those of the whole model (measured better, and faster since gates are
    trained only once), or those of a circuit that the node pruner finds first."""
    edge_lr: float = 1e-2
    """The edge pruner's learning rate, which replaces `lr`."""
    edge_gate: Literal["heaviside", "hard_concrete"] = "heaviside"
    """The edge pruner's gates: the node pruner's step function, or hard-concrete noise (Louizos et al. 2018), which
    needs a larger `init_noise_bias`, such as 0.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "edge_lr")
        one_of(self, "edge_start", "model", "circuit")
        one_of(self, "edge_gate", "heaviside", "hard_concrete")


@dataclass(frozen=True, kw_only=True)
class StochasticSettings(NodeSettings):
    """The node pruner's settings, and how much is ablated."""

    ablation_rate: float = 0.5
    """Smallest share of the closed nodes that the stochastic pruner ablates; each row draws its share from here to
    1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.ablation_rate <= 1, f"ablation_rate must be from 0 to 1, got {self.ablation_rate}")


@dataclass(frozen=True, kw_only=True)
class AttributionSettings(Aim):
    """How many prompts are used."""

    attribution_pairs: int = 256
    """Number of train pairs over which the attribution pruner averages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "attribution_pairs")
