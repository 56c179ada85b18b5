"""Settings of pruning: from a model and a task to a circuit (paper, appendix A.5)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from sparsegpt2.config import require

OPTIONS: dict[str, dict[str, Any]] = {
    "tied": {"tied_qk": True},
    "trim": {"trim": "edges"},
    "trim_nodes": {"trim": "nodes"},
}
"""Settings that may stand behind a pruner's name."""


def split_options(pruner: str) -> tuple[str, str]:
    """(pruner, options) of `node+tied+trim`: `node` and `+tied+trim`. The path of a pruner may hold a + of its own."""
    found = re.fullmatch(r"(.*?)((?:\+\w*)*)", pruner, re.DOTALL)
    assert found is not None  # both parts may be empty
    return found[1], found[2]


@dataclass(frozen=True, kw_only=True)
class PruneConfig:
    """How a circuit is found: the ranking of nodes, then the choice of how many to keep."""

    pruner: str = "node"
    """Which pruner ranks nodes or edges: a file of `sparsegpt2/circuits/pruners`, or one of your own, as `mine.py` or
    `module:attribute`. Any of `OPTIONS` may stand behind it,
    so that a benchmark can compare them: `node+tied+trim` is the node pruner with tied_qk=true and trim=edges."""
    target_loss: float = 0.15
    """Task loss in nats a circuit may have at most (paper: 0.15; chance is ln 2 = 0.693)."""
    seed: int = 0
    """Seed of initial gates, of the training pairs and of random scores."""

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

    tied_qk: bool = False
    """One gate for the q and the k channel of a head that meet in its scores (the paper's authors' hindsight)."""
    ablation_rate: float = 0.5
    """Least share of the closed nodes that the stochastic pruner ablates in a row; rows draw theirs from here to 1."""
    edge_start: Literal["model", "circuit"] = "model"
    """Whose edges the edge pruner puts gates on: the whole model's (measured better, and faster as one training), or
    those of a circuit that the node pruner finds first."""
    edge_lr: float = 1e-2
    """The edge pruner's learning rate, in place of `lr`."""
    edge_gate: Literal["heaviside", "hard_concrete"] = "heaviside"
    """The edge pruner's gates: the node pruner's step function, or hard-concrete noise (Louizos et al. 2018), which
    wants a larger `init_noise_bias`, such as 0.5."""

    trim: Literal["none", "nodes", "edges"] = "none"
    """What is removed greedily after pruning if the circuit does not need it (trim.py): nothing, nodes, or nodes and
    edges. Then sizes are scored without the nodes that no kept path joins to an input and to the logits."""

    attribution_pairs: int = 256
    """Train pairs over which the attribution pruner averages."""

    search: Literal["scan", "bisect"] = "scan"
    """How the number of nodes is chosen: a scan of the loss-against-size curve, or the paper's bisection of it, which
    presumes that loss falls as nodes are added."""
    validation_pairs: int = 128
    """Pairs of the one fixed validation batch set on which every size is scored."""
    grid_ratio: float = 2.0
    """Ratio between neighbouring sizes of the scan's first pass."""
    grid_precision: float = 1.02
    """The scan refines around its smallest size until neighbouring sizes are no further apart than this ratio."""
    score_rows: int = 256
    """Most sequences in one forward pass when circuits are scored; more cost memory."""

    calibrate: bool = False
    """Fit a scale and a shift per answer token to the circuit's logits, 16 L-BFGS steps; the paper's authors doubt
    that this is principled."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        for option in split_options(self.pruner)[1].split("+")[1:]:
            require(option in OPTIONS, f"a pruner has no option {option!r}; there are {', '.join(OPTIONS)}")
            for name, value in OPTIONS[option].items():
                object.__setattr__(self, name, value)
        for name in ("steps", "pairs", "attribution_pairs", "validation_pairs", "score_rows"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("target_loss", "lr", "edge_lr", "clip", "temperature", "k_coef", "pressure"):
            value = getattr(self, name)
            require(0 < value < math.inf, f"{name} must be over 0, got {value}")
        require(self.settle_steps >= 0, f"settle_steps must be 0 or more, got {self.settle_steps}")
        for name in ("weight_decay", "headroom", "init_noise_scale", "controller_rate", "controller_gain"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
        for name in ("warmup", "controller_memory"):
            require(0 <= getattr(self, name) < 1, f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        require(0 <= self.ablation_rate <= 1, f"ablation_rate must be from 0 to 1, got {self.ablation_rate}")
        require(0 < self.controller_margin <= 1, f"controller_margin must be in (0, 1], got {self.controller_margin}")
        require(-1 <= self.drop_below <= 0, f"drop_below must be in [-1, 0], got {self.drop_below}")
        require(-1 <= self.init_noise_bias <= 1, f"init_noise_bias must be in [-1, 1], got {self.init_noise_bias}")
        require(
            len(self.betas) == 2 and all(0 <= beta < 1 for beta in self.betas),
            f"betas must be two numbers from 0 to below 1, got {self.betas}",
        )
        require(
            1 < self.grid_precision <= self.grid_ratio,
            f"the scan needs 1 < grid_precision <= grid_ratio, got {self.grid_precision} and {self.grid_ratio}",
        )
        choices = {
            "penalty": ("controller", "fixed"),
            "dtype": ("bfloat16", "float32"),
            "search": ("scan", "bisect"),
            "edge_start": ("model", "circuit"),
            "edge_gate": ("heaviside", "hard_concrete"),
            "trim": ("none", "nodes", "edges"),
        }
        for name, known in choices.items():
            require(getattr(self, name) in known, f"{name} must be {' or '.join(known)}, got {getattr(self, name)!r}")
