"""Settings of gate training, of each pruner and of trimming.

They are separate from the code that uses them, so that reading a command's settings does not import torch. A pruner's
file imports its own class under the name `Settings`; `config.PruneConfig` inherits from all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sparsegpt2.circuits.aim import Aim, at_least_0, at_least_1, one_of, positive
from sparsegpt2.config import require


@dataclass(frozen=True, kw_only=True)
class TrimSettings(Aim):
    """Settings of trimming, the removal of what a circuit does not need."""

    trim: Literal["none", "nodes", "edges"] = "none"
    """What is removed greedily after pruning if the circuit does not need it (trim.py): `none` for nothing, `nodes`, or
    `edges` for nodes and edges. Unless it is `none`, sizes are scored without dangling nodes, which are on no path of
    kept edges from an input to the logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "trim", "none", "nodes", "edges")


@dataclass(frozen=True, kw_only=True)
class GateSettings(Aim):
    """How gates on nodes or on edges are trained. The paper's values are in its appendix A.5.

    docs/definitions.md defines gate, tau (the trained parameter of a gate) and closed node.
    """

    pairs: int = 16
    """Prompt pairs in a batch, two sequences each (paper: 64; in our measurements 16 were no worse, in a third of the
    time)."""
    steps: int = 150
    """Largest number of training steps. Each step uses fresh pairs of the train split."""
    settle_steps: int = 20
    """Training ends early once the number of open gates has stayed the same for this many steps while the task loss
    meets the target (0: training never ends early)."""
    lr: float = 6e-3
    """AdamW's learning rate for the gate parameters tau (centre of the paper's search: 3e-3, over more steps)."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises linearly from 0 (paper's table: 0.05). Over the remaining
    steps it falls linearly to 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the first and second moments (centre of the paper's search for 1 - beta2: 0.05)."""
    weight_decay: float = 1e-3
    """Decoupled decay of tau towards 0 (centre of the paper's search: 1e-3)."""
    clip: float = 1.0
    """Largest norm of the gradient with respect to all tau together. A larger gradient is scaled down to this norm."""
    temperature: float = 1.0
    """T in the gates' surrogate gradient, the derivative of sigmoid(tau / T) (centre of the paper's search: 1)."""
    init_noise_bias: float = 0.05
    """Mean of the initial tau. It is above 0, so that pruning starts from the whole model (centre of the paper's
    search: 0.1)."""
    headroom: float = 0.01
    """How far above `init_noise_bias` tau may rise (paper: up to 1). If this is small, noise cannot push tau so high
    that a gate is unable to close at the end of training, when the learning rate is low."""
    init_noise_scale: float = 0.01
    """Standard deviation of the initial tau (centre of the paper's search: 0.01)."""

    drop_below: float = -0.05
    """A node whose tau has fallen below this is given up: it stays ablated and is no longer computed (-1: no node is
    ever given up). In our measurements no gate that fell so far below the threshold of 0 ever opened again."""

    penalty: Literal["controller", "fixed"] = "controller"
    """Whether `k_coef` is adjusted by a controller during training, or fixed (paper: fixed, and searched for each
    task)."""
    k_coef: float = 5e-4
    """Penalty in nats for each open gate (centre of the paper's search: 1e-4). The controller starts from this value,
    or from a lower one if `pressure` limits it. If the value is too high, all gates close at once, and then no gradient
    reopens them."""
    pressure: float = 1.0
    """Largest penalty in nats for all gates together when the controller starts. In a wide model, or with gates on
    edges, there are many gates, so each starts with a lower penalty than `k_coef`. Without this limit, a model with ten
    times as many gates closed all of them at once."""
    controller_rate: float = 0.05
    """Largest change of the lasting part of log k_coef in one step (`gate_training.Penalty` explains both parts). The
    lasting part rises while the running task loss is below the controller's aim, and falls while it is above."""
    controller_gain: float = 1.0
    """Largest absolute value of the immediate part of log k_coef, which is added to the lasting part. Without the
    immediate part the penalty overshoots. At twice this default all gates closed at once in models that are very
    confident on a task."""
    controller_memory: float = 0.9
    """Decay per step of the running mean of the task loss, which the controller uses."""
    controller_margin: float = 0.9
    """The controller aims at this share of `target_loss`, so that the circuit meets the target on fresh pairs too."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the model while gates are trained. Circuits are always scored and chosen in float32."""

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
    """Whether a q channel and the k channel with which it is multiplied in a head's scores share one gate. The paper's
    authors recommend this in hindsight."""


@dataclass(frozen=True, kw_only=True)
class EdgeSettings(NodeSettings):
    """Settings of the edge pruner. They include those of the node pruner, which may run first."""

    edge_start: Literal["model", "circuit"] = "model"
    """Which edges get gates: `model` for those of the whole model, or `circuit` for those of a circuit that the node
    pruner finds first. In our measurements `model` was better, and it is faster because gates are trained only once."""
    edge_lr: float = 1e-2
    """Learning rate of the edge pruner, which it uses instead of `lr`."""
    edge_gate: Literal["heaviside", "hard_concrete"] = "heaviside"
    """Kind of gate on edges: `heaviside`, the step function of the node pruner, or `hard_concrete`, a random gate
    (Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization"), which needs a larger
    `init_noise_bias`, such as 0.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "edge_lr")
        one_of(self, "edge_start", "model", "circuit")
        one_of(self, "edge_gate", "heaviside", "hard_concrete")


@dataclass(frozen=True, kw_only=True)
class StochasticSettings(NodeSettings):
    """Settings of the stochastic pruner: those of the node pruner, and how much is ablated."""

    ablation_rate: float = 0.5
    """Smallest share of the closed nodes that the stochastic pruner ablates. Each row draws its share between this
    value and 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.ablation_rate <= 1, f"ablation_rate must be from 0 to 1, got {self.ablation_rate}")


@dataclass(frozen=True, kw_only=True)
class AttributionSettings(Aim):
    """Settings of the attribution pruner."""

    attribution_pairs: int = 256
    """Number of pairs of the train split over which the attribution pruner averages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "attribution_pairs")
