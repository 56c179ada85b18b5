"""Pruners by name: each file here is one, and defines `rank(model, task, config, progress=None) -> Ranking`.

`config` is a `PruneConfig`. A pruner says in a dataclass `Settings` what it asks of it (see `circuits.config`); this
module must not import `circuits.config`, which is made of those.
A file may also define `rank_together(model, tasks, configs, progress=None) -> list[Ranking]`, for runs in one batch.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from typing import Any, Protocol

from sparsegpt2.circuits.aim import PrunerName
from sparsegpt2.circuits.ranking import Progress, Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT


class Pruner(Protocol):
    """Ranks the nodes of a model with finite weights and means by their use for a task, on its train split only."""

    def __call__(self, model: GPT, task: Task, config: Any, progress: Progress | None = None) -> Ranking: ...


class JointPruner(Protocol):
    """Makes the ranking of each task and config, all of one pruner, in batches that they share."""

    def __call__(
        self, model: GPT, tasks: Sequence[Task], configs: Sequence[Any], progress: Progress | None = None
    ) -> list[Ranking]: ...


def pruner_names() -> list[str]:
    """The pruners there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def get_pruner(name: str) -> Pruner:
    """The pruner of that name, whatever options stand behind it; an unknown one is a `UserError` that lists all."""
    name = PrunerName.parse(name).base
    if name not in pruner_names():
        raise UserError(f"there is no pruner {name!r}; there are {', '.join(pruner_names())}")
    pruner: Pruner = importlib.import_module(f"{__name__}.{name}").rank
    return pruner


def get_joint_pruner(name: str) -> JointPruner | None:
    """The same pruner for several runs in one batch, if its file defines `rank_together`."""
    get_pruner(name)
    module = importlib.import_module(f"{__name__}.{PrunerName.parse(name).base}")
    joint: JointPruner | None = getattr(module, "rank_together", None)
    return joint
