"""Edge attribution patching: gradient times difference, from 2 forward passes and 1 backward pass (Syed et al. 2023).

The paper is "Attribution Patching Outperforms Automated Circuit Discovery". The difference is between a writer's output
in the counterfactual and in the clean run (attribution.py). Edges are ranked by the magnitude of their mean
attribution, and those with the largest magnitudes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.components.attribution import edge_attributions
from sparsegpt2.components.discovery import Discovery, by_rank
from sparsegpt2.components.objectives import FLAT_AT_FULL
from sparsegpt2.components.problem import Problem
from sparsegpt2.errors import UserError
from sparsegpt2.progress import Progress

OBJECTIVE = "logit_difference"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """EAP has no settings of its own."""


def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Rank edges by |attribution|, with the gradient computed at the clean run."""
    if problem.objective in FLAT_AT_FULL:
        raise UserError(
            f"eap computes the gradient at the full model, where the gradient of {problem.objective} is zero: "
            "use the objective logit_difference or task, or the method eap_ig"
        )
    trial = problem.trial("train", problem.config.pairs, problem.config.seed)
    effects = edge_attributions(problem, trial, steps=1)
    if progress is not None:
        progress(1, 1, "eap")
    return by_rank(problem, effects.abs(), effects.cpu())
