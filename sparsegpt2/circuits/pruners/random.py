"""A random baseline: nodes in random order, independent of the model's weights and of the task."""

from __future__ import annotations

import torch

from sparsegpt2.circuits.aim import Aim
from sparsegpt2.circuits.gates import split_nodes
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import node_sites
from sparsegpt2.progress import Progress

Settings = Aim


def rank(model: GPT, task: Task, config: Settings, progress: Progress | None = None) -> Ranking:
    """Rank nodes in uniformly random order. The same seed gives the same order."""
    sites = node_sites(model.config)
    generator = torch.Generator().manual_seed(config.seed)
    return Ranking(split_nodes(torch.rand(sum(sites.values()), generator=generator), sites))
