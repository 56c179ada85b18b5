"""Pruners by name: each file here is one, and defines `rank(model, task, config, progress=None) -> Ranking`.

So does a file of one's own, named by its path, by `module:attribute` or through an entry point of the group
`sparsegpt2.pruners` (registry.py).

A file may also define `rank_together(model, tasks, configs, progress=None) -> list[Ranking]`, for runs in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from sparsegpt2.circuits.config import PruneConfig, split_options
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.registry import Kind, name_of, takes


class Pruner(Protocol):
    """Ranks the nodes of a model with finite weights and means by their use for a task, on its train split only."""

    def __call__(self, model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking: ...


class JointPruner(Protocol):
    """Makes the ranking of each task and config, all of one pruner, in batches that they share."""

    def __call__(
        self, model: GPT, tasks: Sequence[Task], configs: Sequence[PruneConfig], progress: Progress | None = None
    ) -> list[Ranking]: ...


def _flaw(rank: Any, holder: Any) -> str:
    if not takes(rank, 4):
        return "must be a function that takes (model, task, config, progress)"
    joint = getattr(holder, "rank_together", None)
    if joint is not None and not takes(joint, 4):
        return "is all right, but rank_together must take (model, tasks, configs, progress)"
    return ""


PRUNERS = Kind("pruner", "sparsegpt2.pruners", "rank", _flaw, (__name__,))


def pruner_names() -> list[str]:
    """The pruners that are built in."""
    return PRUNERS.names()


def plain_pruner(pruner: str) -> str:
    """The name that rows and circuits know a pruner by: `own/mine.py+trim` is `mine+trim`. Nothing is loaded."""
    base, options = split_options(pruner)
    return name_of(base, PRUNERS.attribute) + options


def named_plainly(config: PruneConfig) -> PruneConfig:
    """`config` with its pruner loaded and known by its plain name from now on; `UserError` if it cannot be had."""
    base, options = split_options(config.pruner)
    return replace(config, pruner=PRUNERS.resolve(base).name + options)


def get_pruner(name: str) -> Pruner:
    """The pruner of that name, path or `module:attribute`, whatever options stand behind it.

    `UserError` for an unknown one, which lists all, and for a mistake in a file of one's own.
    """
    found = PRUNERS.resolve(split_options(name)[0])

    def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
        ranking = found.thing(model, task, config, progress)
        if not isinstance(ranking, Ranking):
            raise found.mistake(f"the pruner must give a Ranking, not {type(ranking).__name__}")
        return ranking

    return rank


def get_joint_pruner(name: str) -> JointPruner | None:
    """The same pruner for several runs in one batch, if its file defines `rank_together`."""
    joint: JointPruner | None = getattr(PRUNERS.resolve(split_options(name)[0]).holder, "rank_together", None)
    return joint


def pruner_fingerprint(name: str) -> str:
    """16 hex digits of the source of a pruner of one's own, loaded before; empty for a built-in one."""
    return PRUNERS.fingerprint(split_options(name)[0])
