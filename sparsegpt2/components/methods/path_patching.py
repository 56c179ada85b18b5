"""Path patching: give one edge the counterfactual value and run the model again (Wang et al. 2022).

The paper is "Interpretability in the Wild". `Discovery.effects` is the matrix of effects [W, R]: how much the objective
rises, averaged over rows, when the reader reads the writer's counterfactual output and everything after the reader is
recomputed. Each edge needs a forward pass of its own over the prompts, and several of these run in one batch. Edges are
ranked by the magnitude of their effect.

Shapes: W writers, R readers (docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sparsegpt2.components.discovery import Discovery, by_rank
from sparsegpt2.components.problem import Problem
from sparsegpt2.config import require
from sparsegpt2.progress import Progress

OBJECTIVE = "logit_difference"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The number of prompt pairs on which each edge is patched."""

    pairs: int = 16
    """Number of train pairs on which every edge is patched. It replaces the setting `pairs` that other methods use,
    because this method needs one forward pass for each edge."""

    def __post_init__(self) -> None:
        require(self.pairs >= 1, f"pairs must be at least 1, got {self.pairs}")


@torch.no_grad()
def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Rank edges by the magnitude of the effect of patching that edge alone."""
    trial, graph = problem.trial("train", settings.pairs, problem.config.seed), problem.graph
    everything = problem.everything()
    base = problem.mean_damage(trial, everything[None])
    group, effects = max(1, problem.config.rows // len(trial)), []
    for first in range(0, graph.n_edges, group):
        edges = torch.arange(first, min(first + group, graph.n_edges))
        without = everything.repeat(len(edges), 1, 1)
        writers, readers = (end[edges] for end in graph.ends)
        without[torch.arange(len(edges)), writers, readers] = 0
        effects.append(problem.mean_damage(trial, without) - base)
        if progress is not None:
            progress(int(edges[-1]) + 1, graph.n_edges, "path patching")
    matrix = graph.matrix(torch.cat(effects))
    return by_rank(problem, matrix.abs(), matrix)
