"""ACDC: from the logits backwards, drop each edge whose removal raises the objective by less than a threshold.

Conmy et al. 2023, "Towards Automated Circuit Discovery for Mechanistic Interpretability". Readers are visited from the
logits back to the first layer. The edges into a reader are tested one by one, beginning with the edge from the latest
writer. If all edges out of a component have been dropped, the edges into it are dropped without a test, because nothing
reads the component's output. All thresholds are processed together, each with its own mask.

Shapes: N thresholds, W writers, R readers (docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sparsegpt2.components.discovery import Discovery, Found
from sparsegpt2.components.problem import Problem
from sparsegpt2.config import require
from sparsegpt2.progress import Progress

OBJECTIVE = "kl"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Thresholds, and the number of prompts on which each edge is tested."""

    thresholds: tuple[float, ...] = (1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0)
    """Each threshold gives one circuit. An edge is dropped if dropping it raises the objective, averaged over rows, by
    less than the threshold. (The paper uses KL and tries many thresholds.)"""
    pairs: int = 16
    """Number of train pairs on which every edge is tested. It replaces the setting `pairs` that other methods use,
    because this method needs one forward pass for each edge and threshold."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "thresholds", tuple(sorted(map(float, self.thresholds))))
        require(bool(self.thresholds), "thresholds needs at least one number")
        require(self.thresholds[0] > 0, f"thresholds must be above 0, got {self.thresholds[0]}")
        require(self.pairs >= 1, f"pairs must be at least 1, got {self.pairs}")


@torch.no_grad()
def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Find one circuit for each threshold. An edge's score is the number of thresholds at which it is kept."""
    trial, graph = problem.trial("train", settings.pairs, problem.config.seed), problem.graph
    thresholds = torch.tensor(settings.thresholds, dtype=torch.float64)  # [N]
    kept = problem.everything().repeat(len(thresholds), 1, 1)  # [N, W, R]
    current = problem.mean_damage(trial, kept)  # [N]
    done = 0
    for reader in reversed(range(len(graph.readers))):
        owner = graph.owner[reader]
        alive = kept[:, owner].any(dim=1).cpu() if owner >= 0 else torch.ones(len(kept), dtype=torch.bool)  # [N]
        kept[~alive.to(kept.device), :, reader] = 0
        for writer in reversed(graph.present[:, reader].nonzero().flatten().tolist()):
            if bool(alive.any()):
                without = kept[alive.to(kept.device)]
                without[:, writer, reader] = 0
                after = problem.mean_damage(trial, without)
                drop = torch.zeros_like(alive)
                drop[alive] = after - current[alive] < thresholds[alive]
                kept[drop.to(kept.device), writer, reader] = 0
                current = torch.where(drop, torch.zeros_like(current).masked_scatter(alive, after), current)
            done += 1
            if progress is not None:
                progress(done, graph.n_edges, "acdc")
    masks = kept.bool().cpu()
    found = [Found(mask, {"threshold": value}) for mask, value in zip(masks, settings.thresholds, strict=True)]
    return Discovery(masks.float().sum(dim=0), tuple(found))
