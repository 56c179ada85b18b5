"""Settings of the faithfulness report: the checks, the sample sizes, and the thresholds at which a check holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """How a circuit is checked: sample sizes first, then thresholds; docs/faithfulness.md explains each."""

    checks: tuple[str, ...] = ()
    """Checks to run: files of `sparsegpt2/evidence/checks` (by default all), or your own, as `mine.py` or
    `module:attribute`."""
    expensive: bool = field(default=True, metadata={"alias": "dear"})
    """Run the expensive checks too (adversarial, binarisation, controls, seeds), which train or prune again."""
    seed: int = 0
    """Seed of test pairs, random node sets, random subsets, the nonsense task and the random models."""
    pairs: int = 128
    """Prompt pairs of a split on which a loss is measured."""
    draws: int = 8
    """Number of random node sets, random subsets or resampled texts over which a mean is taken."""

    minimality_nodes: int = 256
    """Largest number of nodes dropped one by one; for a larger circuit, the size of a random sample."""
    minimality_pairs: int = 32
    """Test pairs on which each dropped node is scored."""
    knockouts: tuple[float, ...] = (0.1, 0.25, 0.5)
    """Completeness: shares of the circuit's nodes that are ablated both in the circuit and in the model."""
    rates: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Stochastic ablation: shares of the complement that are ablated."""
    adversary_steps: int = 40
    """Gradient steps of the search for the worst subset of the complement."""
    adversary_pairs: int = 16
    """Train pairs per step of that search, fresh ones in each step."""
    adversary_starts: int = 3
    """Number of searches; one starts with nothing ablated, one with everything, the others with random halves."""
    adversary_lr: float = 0.1
    """Adam's learning rate for the adversary's gates, which are in [-1, 1]."""
    binarisation_steps: int = 200
    """Gradient steps over which the two-level functions are annealed and fitted."""
    binarisation_pairs: int = 16
    """Train pairs per step of that fit."""
    binarisation_lrs: tuple[float, ...] = (0.005, 0.02)
    """Adam's learning rates for thresholds and levels, in standard deviations of the node; each is tried, and the one
    with the lowest loss on validation pairs is used."""
    seeds: int = 5
    """Number of pruning seeds whose circuits are compared, including the circuit's own (at least 2)."""
    twins: tuple[Literal["initial", "permuted"], ...] = ("initial", "permuted")
    """Random models of the controls: `initial` is newly initialised and projected to the model's density, tensor by
    tensor; `permuted` has the trained weights of each tensor in random order, so their magnitudes are the same."""
    control_seeds: int = 1
    """Number of prunings of each control, which give the error of its size; with 1 there is no error."""
    text_rows: int = 256
    """Windows of pretraining text used for resampling and for the random models' node means."""

    slack: float = 2.0
    """A loss passes when it is at most this many times the larger of the target and the whole model's loss."""
    control_ratio: float = 5.0
    """A circuit is believable when the circuit of every control has at least this many times as many edges."""
    completeness_gap: float = 0.35
    """Largest mean gap, in nats, between circuit and model after the same knockouts (half of chance, ln 2)."""
    minimality_gain: float = 0.001
    """A node counts as needed when dropping it raises the loss by at least this many nats."""
    minimality_share: float = 0.8
    """Smallest share of nodes that must be needed."""
    agreement: float = 0.95
    """Smallest share of prompts on which circuit and model make the same choice."""
    attention: float = 0.8
    """Smallest similarity of attention patterns: 1 - total variation distance."""
    iou: float = 0.5
    """Smallest mean intersection over union (IoU) of nodes between seeds (Bhaskar et al. 2024 report 0.52 to 0.64 for
    edges, at equal KL)."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("checks", "knockouts", "rates", "binarisation_lrs", "twins"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        counts = ("pairs", "draws", "minimality_nodes", "minimality_pairs", "adversary_steps", "adversary_pairs")
        more = ("adversary_starts", "binarisation_steps", "binarisation_pairs", "control_seeds", "text_rows")
        for name in counts + more:
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.seeds >= 2, f"seeds must be at least 2, so that circuits can be compared, got {self.seeds}")
        for name in ("knockouts", "rates"):
            shares = getattr(self, name)
            require(bool(shares), f"{name} needs at least one share")
            require(all(0 < share < 1 for share in shares), f"{name} are shares between 0 and 1, got {shares}")
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
