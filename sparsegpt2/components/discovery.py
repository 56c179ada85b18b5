"""The result of a method: a score for every edge, and circuits of rising sparsity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.components.circuit import top_edges
from sparsegpt2.components.problem import Problem
from sparsegpt2.errors import UserError


@dataclass(frozen=True, eq=False)
class Found:
    """One circuit, and what was requested for it."""

    kept: Tensor
    """Bool [W, R], on the CPU."""
    asked: dict[str, Any]
    """What was requested for it: {"sparsity": 0.9} or {"threshold": 0.01}."""
    scores: Tensor | None = None
    """[W, R]: the scores that this circuit was cut from, if each circuit has its own."""
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry per training step, if masks were trained."""


@dataclass(frozen=True, eq=False)
class Discovery:
    """The result of a method."""

    scores: Tensor
    """[W, R] float, on the CPU: higher is kept first. These are compared with a known circuit."""
    found: tuple[Found, ...]
    """Circuits in order of sparsity, lowest first."""
    effects: Tensor | None = None
    """[W, R]: signed effect of each writer on each reader, for methods that measure one."""

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.scores).all()):
            raise UserError("the method's scores are not finite: the model or its objective holds NaN")


def by_rank(problem: Problem, scores: Tensor, effects: Tensor | None = None) -> Discovery:
    """The result of a method that ranks edges only once: at each requested sparsity, the edges with highest scores."""
    scores = scores.detach().cpu()
    found = [
        Found(top_edges(problem.graph, scores, sparsity), {"sparsity": sparsity})
        for sparsity in sorted(problem.config.sparsities)
    ]
    return Discovery(scores, tuple(found), effects)
