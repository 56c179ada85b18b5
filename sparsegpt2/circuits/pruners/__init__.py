"""Pruners by name: each file here is one, and defines `rank(model, task, config, progress=None) -> Ranking`.

So does a file of one's own, named by its path, by `module:attribute` or through an entry point of the group
`sparsegpt2.pruners` (registry.py).

`config` is a `PruneConfig`. A pruner says in a dataclass `Settings` what it asks of it (see `circuits.config`); this
module must not import `circuits.config`, which is made of those.

A file may also define `rank_together(model, tasks, configs, progress=None) -> list[Ranking]`, for runs in one batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from sparsegpt2.circuits.aim import Aim, PrunerName
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.registry import Kind, name_of, takes


class Pruner(Protocol):
    """Ranks the nodes of a model with finite weights and means by their use for a task, on its train split only."""

    def __call__(self, model: GPT, task: Task, config: Any, progress: Progress | None = None) -> Ranking: ...


class JointPruner(Protocol):
    """Makes the ranking of each task and config, all of one pruner, in batches that they share."""

    def __call__(
        self, model: GPT, tasks: Sequence[Task], configs: Sequence[Any], progress: Progress | None = None
    ) -> list[Ranking]: ...


def _flaw(rank: Any, holder: Any) -> str:
    if not takes(rank, 4):
        return "must be a function that takes (model, task, config, progress)"
    joint = getattr(holder, "rank_together", None)
    if joint is not None and not takes(joint, 4):
        return "is all right, but rank_together must take (model, tasks, configs, progress)"
    return ""


Settings = TypeVar("Settings", bound=Aim)

PRUNERS = Kind("pruner", "sparsegpt2.pruners", "rank", _flaw, (__name__,))


def pruner_names() -> list[str]:
    """The pruners that are built in."""
    return PRUNERS.names()


def plain_pruner(pruner: str) -> str:
    """The name that rows and circuits know a pruner by: `own/mine.py+trim` is `mine+trim`. Nothing is loaded."""
    name = PrunerName.parse(pruner)
    return str(replace(name, base=name_of(name.base, PRUNERS.attribute)))


def named_plainly(config: Settings) -> Settings:
    """`config` with its pruner loaded and known by its plain name from now on; `UserError` if it cannot be had."""
    return replace(config, pruner=str(replace(config.name, base=PRUNERS.resolve(config.name.base).name)))


def get_pruner(name: str) -> Pruner:
    """The pruner of that name, path or `module:attribute`, whatever options stand behind it.

    `UserError` for an unknown one, which lists all, and for a mistake in a file of one's own.
    """
    found = PRUNERS.resolve(PrunerName.parse(name).base)

    def rank(model: GPT, task: Task, config: Any, progress: Progress | None = None) -> Ranking:
        ranking = found.thing(model, task, config, progress)
        if not isinstance(ranking, Ranking):
            raise found.mistake(f"the pruner must give a Ranking, not {type(ranking).__name__}")
        return ranking

    return rank


def settings_of_pruner(name: str) -> type | None:
    """The dataclass `Settings` in the pruner's file, if there is one."""
    kind = getattr(PRUNERS.resolve(PrunerName.parse(name).base).holder, "Settings", None)
    return kind if isinstance(kind, type) else None


def get_joint_pruner(name: str) -> JointPruner | None:
    """The same pruner for several runs in one batch, if its file defines `rank_together`."""
    joint: JointPruner | None = getattr(PRUNERS.resolve(PrunerName.parse(name).base).holder, "rank_together", None)
    return joint


def pruner_fingerprint(name: str) -> str:
    """16 hex digits of the source of a pruner of one's own, loaded before; empty for a built-in one."""
    return PRUNERS.fingerprint(PrunerName.parse(name).base)
