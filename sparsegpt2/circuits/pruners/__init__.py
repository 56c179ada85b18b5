"""Pruners by name: each file here is one, and defines `rank(model, task, config, progress=None) -> Ranking`."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Protocol

from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.ranking import Progress, Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT


class Pruner(Protocol):
    """Ranks the nodes of a model with finite weights and means by their use for a task, on its train split only."""

    def __call__(self, model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking: ...


def pruner_names() -> list[str]:
    """The pruners there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get_pruner(name: str) -> Pruner:
    """The pruner of that name, whatever options stand behind it; an unknown one is a `UserError` that lists all."""
    name = name.split("+")[0]
    if name not in pruner_names():
        raise UserError(f"there is no pruner {name!r}; there are {', '.join(pruner_names())}")
    pruner: Pruner = importlib.import_module(f"{__name__}.{name}").rank
    return pruner
