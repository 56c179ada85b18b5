"""Settings of the faithfulness report: which checks to run, sample sizes, and the thresholds at which a check holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """Which checks are run on a circuit, and with which sample sizes and thresholds.

    docs/faithfulness.md explains the checks.
    """

    checks: tuple[str, ...] = ()
    """Checks to run, by default all built-in ones: names of files in `sparsegpt2/evidence/checks`, or your own checks,
    as `mine.py` or `module:attribute`."""
    expensive: bool = field(default=True, metadata={"alias": "dear"})
    """Whether to run the expensive checks too (adversarial, binarisation, controls, seeds), which train or prune."""
    seed: int = 0
    """Seed of the test pairs, of all random sets of nodes, of the nonsense task and of the random models."""
    pairs: int = 128
    """Number of prompt pairs on which a loss is measured, unless another setting gives the number."""
    draws: int = 8
    """Number of random draws (of sets of nodes, or of resampled texts) over which a check averages."""

    minimality_nodes: int = 256
    """Minimality: largest number of nodes that are dropped one at a time. In a larger circuit, a random sample of this
    size is dropped."""
    minimality_pairs: int = 32
    """Minimality: number of test pairs on which the loss without a node is measured."""
    knockouts: tuple[float, ...] = (0.1, 0.25, 0.5)
    """Completeness: shares of the circuit's nodes that are ablated both in the circuit and in the model."""
    rates: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Stochastic ablation: shares of the nodes outside the circuit that are ablated."""
    adversary_steps: int = 40
    """Adversarial ablation: gradient steps of each search for the most harmful set of nodes outside the circuit."""
    adversary_pairs: int = 16
    """Adversarial ablation: number of train pairs in each gradient step. Every step uses new pairs."""
    adversary_starts: int = 3
    """Adversarial ablation: number of searches. The first starts with nothing ablated, the second with everything
    outside the circuit, and the others with a random half of it."""
    adversary_lr: float = 0.1
    """Adversarial ablation: Adam's learning rate for the gates, whose values are in [-1, 1]."""
    binarisation_steps: int = 200
    """Binarisation: gradient steps in which the two-level functions are fitted."""
    binarisation_pairs: int = 16
    """Binarisation: number of train pairs in each gradient step."""
    binarisation_lrs: tuple[float, ...] = (0.005, 0.02)
    """Binarisation: Adam's learning rates for thresholds and levels, in standard deviations of the node. Each rate is
    tried, and the one with the lowest loss on validation pairs is used."""
    seeds: int = 5
    """Number of pruning seeds whose circuits are compared, including the seed of the circuit itself (at least 2)."""
    twins: tuple[Literal["initial", "permuted"], ...] = ("initial", "permuted")
    """Controls: kinds of random models. `initial` is a newly initialised model in which each tensor has as many nonzero
    entries as in the trained model. `permuted` has the trained weights of each tensor in random order, so it keeps
    their magnitudes."""
    control_seeds: int = 1
    """Controls: how often each control is pruned, each time with another seed. The standard error of a control's size
    comes from these repetitions; with 1 there is none."""
    text_rows: int = 256
    """Number of windows of pretraining text, which are used for resampling and for the node means of random models."""

    slack: float = 2.0
    """A loss passes when it is at most this many times the larger of the target loss and the whole model's loss."""
    control_ratio: float = 5.0
    """Controls: the check holds when every control has at least this many times as many edges as the circuit."""
    completeness_gap: float = 0.35
    """Completeness: largest mean gap between the losses of circuit and model after the same knockouts, in nats. (The
    default is half of ln 2, the loss of guessing.)"""
    minimality_gain: float = 0.001
    """Minimality: a node counts as needed when dropping it raises the loss by at least this many nats."""
    minimality_share: float = 0.8
    """Minimality: smallest share of the nodes that must be needed."""
    agreement: float = 0.95
    """Agreement: smallest share of prompts on which circuit and model must make the same choice."""
    attention: float = 0.8
    """Attention: smallest mean similarity of attention patterns (1 - total variation distance) of circuit and model."""
    iou: float = 0.5
    """Seeds: smallest mean intersection over union (IoU) of nodes between seeds (Bhaskar et al. 2024, "Finding
    Transformer Circuits with Edge Pruning", report 0.52 to 0.64 for edges, at equal KL)."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("checks", "knockouts", "rates", "binarisation_lrs", "twins"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        counts = ("pairs", "draws", "minimality_nodes", "minimality_pairs", "adversary_steps", "adversary_pairs")
        more = ("adversary_starts", "binarisation_steps", "binarisation_pairs", "control_seeds", "text_rows")
        for name in counts + more:
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.seeds >= 2, f"seeds must be at least 2, because circuits are compared, got {self.seeds}")
        for name in ("knockouts", "rates"):
            shares = getattr(self, name)
            require(bool(shares), f"{name} needs at least one share")
            require(all(0 < share < 1 for share in shares), f"{name} must be shares between 0 and 1, got {shares}")
        for name in ("slack", "control_ratio"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(bool(self.binarisation_lrs), "binarisation_lrs needs at least one learning rate")
        require(min(self.binarisation_lrs) > 0, f"binarisation_lrs must be above 0, got {self.binarisation_lrs}")
        for name in ("adversary_lr", "completeness_gap", "minimality_gain"):
            require(getattr(self, name) > 0, f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("minimality_share", "agreement", "attention", "iou"):
            require(0 < getattr(self, name) <= 1, f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as rows of results store them."""
        # A row is found again by a hash of its settings' names and values, so `expensive` is stored under the name
        # that it had when the first rows were written.
        return {"dear" if name == "expensive" else name: value for name, value in asdict(self).items()}
