"""Settings of gate training, of each pruner and of trimming, apart from what they set: they are read without torch.

A pruner's file takes its own under the name `Settings`; `config.py` joins them all.
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
    edges. Then sizes are scored without the nodes that no kept path joins to an input and to the logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self, "trim", "none", "nodes", "edges")


@dataclass(frozen=True, kw_only=True)
class GateSettings(Aim):
    """How gates are trained, of nodes or of edges."""

    pairs: int = 16
    """Prompt pairs in a batch, two sequences each (paper: 64; a quarter of it measured no worse here, in a third of the
    time)."""
    steps: int = 150
    """Most training steps of the gates, each on fresh pairs of the train split."""
    settle_steps: int = 20
    """Training ends early once the number of open gates has stayed the same for so many steps (0: never), with the task
    loss within the target."""
    lr: float = 6e-3
    """AdamW's learning rate of the gate parameters tau (paper's centre: 3e-3, over more steps)."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises from 0 (paper's table: 0.05); it then falls to 0."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates of the first and second moment (paper's centre of 1 - beta2: 0.05)."""
    weight_decay: float = 1e-3
    """Decoupled decay of tau towards 0 (paper's centre: 1e-3)."""
    clip: float = 1.0
    """Largest norm of the gradient of all tau together; larger ones are scaled down to it."""
    temperature: float = 1.0
    """T of the gates' backward pass, the derivative of sigmoid(tau / T) (paper's centre: 1)."""
    init_noise_bias: float = 0.05
    """Mean of the initial tau; over 0, so that pruning starts from the whole model (paper's centre: 0.1)."""
    headroom: float = 0.01
    """How far over `init_noise_bias` a tau may rise (paper: to 1). Gates of nodes that turn out not to be needed do not
    have to come down from wherever noise carried them, at the end of training, when the learning rate is low."""
    init_noise_scale: float = 0.01
    """Standard deviation of the initial tau (paper's centre: 0.01)."""

    drop_below: float = -0.05
    """A node whose tau has fallen under this is given up: it stays ablated, and is no longer computed (-1: never). No
    node so far under the threshold of 0 was ever seen to come back."""

    penalty: Literal["controller", "fixed"] = "controller"
    """Whether `k_coef` is only where a controller starts, or stays as it is (paper: fixed, searched per task)."""
    k_coef: float = 5e-4
    """Nats a kept gate costs in the training loss (paper's centre: 1e-4). The controller starts from it, or from less
    (`pressure`): too much closes all gates at once, from which no gradient leads back."""
    pressure: float = 1.0
    """Nats that all gates together cost at most when the controller starts, so that `k_coef` is lower on wide models
    and for edges: a start as strong on each of ten times as many gates closed all of them."""
    controller_rate: float = 0.05
    """Largest lasting change of log k_coef in a step: up while the running task loss is under the aim, else down."""
    controller_gain: float = 1.0
    """Largest immediate change of log k_coef, up or down, on top of that; without it the penalty overshoots. Twice as
    much closed all gates at once in models that are very sure of a task."""
    controller_memory: float = 0.9
    """Decay per step of the running task loss that the controller sees."""
    controller_margin: float = 0.9
    """The controller aims at this share of `target_loss`, so that fresh pairs meet the target too."""
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    """Precision of the model while gates train; circuits are scored and chosen in float32."""

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


@dataclass(frozen=True, kw_only=True)
class NodeSettings(GateSettings):
    """How gates on nodes are trained."""

    tied_qk: bool = False
    """One gate for the q and the k channel of a head that meet in its scores (the paper's authors' hindsight)."""


@dataclass(frozen=True, kw_only=True)
class EdgeSettings(NodeSettings):
    """What is trained on edges; the node pruner's, as a node circuit may come first."""

    edge_start: Literal["model", "circuit"] = "model"
    """Whose edges the edge pruner puts gates on: the whole model's (measured better, and faster as one training), or
    those of a circuit that the node pruner finds first."""
    edge_lr: float = 1e-2
    """The edge pruner's learning rate, in place of `lr`."""
    edge_gate: Literal["heaviside", "hard_concrete"] = "heaviside"
    """The edge pruner's gates: the node pruner's step function, or hard-concrete noise (Louizos et al. 2018), which
    wants a larger `init_noise_bias`, such as 0.5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "edge_lr")
        one_of(self, "edge_start", "model", "circuit")
        one_of(self, "edge_gate", "heaviside", "hard_concrete")


@dataclass(frozen=True, kw_only=True)
class StochasticSettings(NodeSettings):
    """The node pruner's, and how much is ablated."""

    ablation_rate: float = 0.5
    """Least share of the closed nodes that the stochastic pruner ablates in a row; rows draw theirs from here to 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.ablation_rate <= 1, f"ablation_rate must be from 0 to 1, got {self.ablation_rate}")


@dataclass(frozen=True, kw_only=True)
class AttributionSettings(Aim):
    """How much evidence is taken."""

    attribution_pairs: int = 256
    """Train pairs over which the attribution pruner averages."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "attribution_pairs")
