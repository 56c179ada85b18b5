"""Edge attribution patching with integrated gradients on the embedding (Hanna et al. 2024).

The paper is "Have Faith in Faithfulness". The gradient is averaged over points between the counterfactual and the clean
embedding. At the clean run alone it can vanish, because the model may be saturated there. Edges are ranked by the
magnitude of their mean attribution.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.components.attribution import edge_attributions
from sparsegpt2.components.discovery import Discovery, by_rank
from sparsegpt2.components.problem import Problem
from sparsegpt2.config import require
from sparsegpt2.progress import Progress

OBJECTIVE = "kl"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The number of points over which the gradient is averaged."""

    steps: int = 5
    """Points at which the gradient is computed; the last is the clean run (paper: 5). With 1 this is EAP."""

    def __post_init__(self) -> None:
        require(self.steps >= 1, f"steps must be at least 1, got {self.steps}")


def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Rank edges by |attribution|, with the gradient averaged over `settings.steps` points."""
    trial = problem.trial("train", problem.config.pairs, problem.config.seed)
    effects = edge_attributions(problem, trial, settings.steps)
    if progress is not None:
        progress(1, 1, "eap_ig")
    return by_rank(problem, effects.abs(), effects.cpu())
