"""Settings that all component methods share. Each method's file also defines settings of its own."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields

INTERVENTIONS = ("interchange", "mean", "zero", "resample")
"""What an ablated edge may carry; counterfactual.py explains each."""
OBJECTIVES = ("kl", "logit_difference", "task", "squared_error")
"""Ways to measure the damage that a mask over edges does; objectives.py explains each."""


@dataclass(frozen=True, kw_only=True)
class DiscoverConfig:
    """Which method looks for a circuit of edges, what ablated edges carry, and how sparse the circuits should be."""

    method: str = "edge_pruning"
    """Name of a file in `sparsegpt2/components/methods`, or your own method, as `mine.py` or `module:attribute`."""
    intervention: str = "interchange"
    """What an ablated edge carries: interchange (the value on the pair's other prompt), resample (the value on a prompt
    of another pair), mean (the mean over prompts of the task) or zero."""
    objective: str = ""
    """kl, logit_difference, task or squared_error; if empty, the objective of the method's paper."""
    sparsities: tuple[float, ...] = (0.5, 0.7, 0.8, 0.9, 0.95)
    """Shares of edges to leave out; each gives one circuit. ACDC ignores them, because its thresholds set the sizes."""
    pairs: int = 32
    """Prompt pairs of the train split on which edges are scored, two sequences each; ignored by methods with their own
    setting `pairs`."""
    seed: int = 0
    """Seed of the training pairs, of initial masks and of resampling."""
    rows: int = 1024
    """Largest number of sequences in one forward pass when several masks are tried at once; a larger number takes
    more memory."""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "sparsities", tuple(map(float, self.sparsities)))
        require(
            self.intervention in INTERVENTIONS,
            f"intervention must be one of {', '.join(INTERVENTIONS)}, got {self.intervention!r}",
        )
        require(
            self.objective in ("", *OBJECTIVES),
            f"objective must be one of {', '.join(OBJECTIVES)}, or empty, got {self.objective!r}",
        )
        require(bool(self.sparsities), "sparsities needs at least one share of edges to leave out, such as 0.9")
        for sparsity in self.sparsities:
            require(0 <= sparsity < 1, f"a sparsity is a share of edges, at least 0 and below 1, got {sparsity}")
        for name in ("pairs", "rows"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
