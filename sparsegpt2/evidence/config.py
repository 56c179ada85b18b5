"""Settings of the faithfulness report: which checks, how large the samples, and what counts as holding."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sparsegpt2.config import require


@dataclass(frozen=True, kw_only=True)
class EvidenceConfig:
    """How a circuit is judged. Sample sizes first, then the thresholds; docs/faithfulness.md says what each means."""

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
    """Random node sets, random subsets or resampled texts that a mean is taken over."""

    minimality_nodes: int = 256
    """Most nodes dropped one by one; of a larger circuit a random sample."""
    minimality_pairs: int = 32
    """Test pairs that each dropped node is scored on."""
    knockouts: tuple[float, ...] = (0.1, 0.25, 0.5)
    """Completeness: shares of the circuit's nodes that are knocked out of the circuit and of the model."""
    rates: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75, 0.9)
    """Stochastic ablation: shares of the complement that are ablated."""
    adversary_steps: int = 40
    """Gradient steps of the search for the worst subset of the complement."""
    adversary_pairs: int = 16
    """Train pairs in a batch of that search, fresh ones each step."""
    adversary_starts: int = 3
    """Searches; one starts from nothing ablated, one from everything, the others from random halves."""
    adversary_lr: float = 0.1
    """Adam's learning rate of the adversary's gates, which live in [-1, 1]."""
    binarisation_steps: int = 200
    """Gradient steps over which the two-level steps are annealed and fitted."""
    binarisation_pairs: int = 16
    """Train pairs in a batch of that fit."""
    binarisation_lrs: tuple[float, ...] = (0.005, 0.02)
    """Adam's learning rates of thresholds and levels, in standard deviations of the node; each is tried, and validation
    pairs choose."""
    seeds: int = 5
    """Pruning seeds whose circuits are compared, the circuit's own included (at least 2)."""
    twins: tuple[Literal["initial", "permuted"], ...] = ("initial", "permuted")
    """Random models of the controls: `initial` is freshly initialised and projected to the model's density, tensor by
    tensor; `permuted` has the trained weights of each tensor in random order, so their sizes stay."""
    control_seeds: int = 1
    """Prunings of each control, over which its size's error is taken; 1 gives none."""
    text_rows: int = 256
    """Windows of pretraining text used for resampling and for the random models' node means."""

    slack: float = 2.0
    """A loss is kept when it is at most this many times the larger of the target and the whole model's loss."""
    control_ratio: float = 5.0
    """A circuit is believable when every control's is at least this many times larger, in edges."""
    completeness_gap: float = 0.35
    """Largest mean gap, in nats, between circuit and model after equal knockouts (half of chance, ln 2)."""
    minimality_gain: float = 0.001
    """Nats of loss that dropping a node must cost for the node to count as needed."""
    minimality_share: float = 0.8
    """Smallest share of needed nodes."""
    agreement: float = 0.95
    """Smallest share of prompts on which circuit and model make the same choice."""
    attention: float = 0.8
    """Smallest similarity of attention patterns: 1 - total variation distance."""
    iou: float = 0.5
    """Smallest mean IoU of nodes between seeds (Bhaskar et al. 2024 have 0.52 to 0.64 over edges at equal KL)."""

    def __post_init__(self) -> None:
        for name in ("checks", "knockouts", "rates", "binarisation_lrs", "twins"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        counts = ("pairs", "draws", "minimality_nodes", "minimality_pairs", "adversary_steps", "adversary_pairs")
        more = ("adversary_starts", "binarisation_steps", "binarisation_pairs", "control_seeds", "text_rows")
        for name in counts + more:
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(self.seeds >= 2, f"seeds must be at least 2, for there to be something to compare, got {self.seeds}")
        for name in ("knockouts", "rates"):
            shares = getattr(self, name)
            require(bool(shares), f"{name} needs at least one share")
            require(all(0 < share < 1 for share in shares), f"{name} are shares between 0 and 1, got {shares}")
        for name in ("slack", "control_ratio"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(bool(self.binarisation_lrs), "binarisation_lrs needs at least one learning rate")
        require(min(self.binarisation_lrs) > 0, f"binarisation_lrs must be over 0, got {self.binarisation_lrs}")
        for name in ("adversary_lr", "completeness_gap", "minimality_gain"):
            require(getattr(self, name) > 0, f"{name} must be over 0, got {getattr(self, name)}")
        for name in ("minimality_share", "agreement", "attention", "iou"):
            require(0 < getattr(self, name) <= 1, f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as rows of results store them."""
        # A row is found again by a hash of its settings' names and values, so `expensive` is stored under the name
        # that it had when the first rows were written.
        return {"dear" if name == "expensive" else name: value for name, value in asdict(self).items()}
