"""The result of a component method: a score for every edge, and one or more circuits.

Shapes: W writers, R readers (docs/definitions.md, Writer and reader).
"""

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
    """Bool [W, R], on the CPU: the edges of the circuit."""
    asked: dict[str, Any]
    """The requested sparsity or threshold that gave this circuit, such as {"sparsity": 0.9} or {"threshold": 0.01}."""
    scores: Tensor | None = None
    """[W, R]: the edge scores of the run that found this circuit, if there was a separate run for each circuit."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Named measurements for each training step, if masks were trained."""


@dataclass(frozen=True, eq=False)
class Discovery:
    """The result of a component method."""

    scores: Tensor
    """[W, R] float, on the CPU: how important each edge is. ROC curves compare these scores with a known circuit."""
    found: tuple[Found, ...]
    """Circuits in order of sparsity (share of edges left out), lowest first."""
    effects: Tensor | None = None
    """[W, R]: how much the objective rises if the edge is ablated (below 0: it falls), measured or estimated from a
    gradient. None if the method does not compute this."""

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.scores).all()):
            raise UserError("the method's scores are not finite: the model or its objective gives NaN")


def by_rank(problem: Problem, scores: Tensor, effects: Tensor | None = None) -> Discovery:
    """The result of a method that ranks edges once: for each sparsity, the circuit of the top-scored edges."""
    scores = scores.detach().cpu()
    found = [
        Found(top_edges(problem.graph, scores, sparsity), {"sparsity": sparsity})
        for sparsity in sorted(problem.config.sparsities)
    ]
    return Discovery(scores, tuple(found), effects)
