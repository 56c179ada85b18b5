"""Find pruners by name. Each other file in this folder is a pruner.

A pruner's file defines `rank(model, task, config, progress=None) -> Ranking`. `config` is a `PruneConfig`. The file
also declares the settings that the pruner uses, as a dataclass called `Settings` (see `circuits.config`). It may define
`rank_together(model, tasks, configs, progress=None) -> list[Ranking]`, which prunes for several tasks in one batch.

A pruner in a user's own file works in the same way. It is named by the path of the file, by `module:attribute`, or
through an entry point of the group `sparsegpt2.pruners` (sparsegpt2/registry.py).
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
    """Ranks nodes or edges by how much a task needs them. It uses only the task's train split.

    The model that it is given has finite weights and node means.
    """

    def __call__(self, model: GPT, task: Task, config: Any, progress: Progress | None = None) -> Ranking: ...


class JointPruner(Protocol):
    """Ranks nodes or edges for several tasks and configs of one pruner, in shared batches."""

    def __call__(
        self, model: GPT, tasks: Sequence[Task], configs: Sequence[Any], progress: Progress | None = None
    ) -> list[Ranking]: ...


def _flaw(rank: Any, holder: Any) -> str:
    """What is wrong with a pruner's file, as the end of a sentence that begins with `rank`; empty if nothing is."""
    if not takes(rank, 4):
        return "must be a function that takes (model, task, config, progress)"
    joint = getattr(holder, "rank_together", None)
    if joint is not None and not takes(joint, 4):
        return "is correct, but rank_together must take (model, tasks, configs, progress)"
    return ""


Settings = TypeVar("Settings", bound=Aim)

PRUNERS = Kind("pruner", "sparsegpt2.pruners", "rank", _flaw, (__name__,))


def pruner_names() -> list[str]:
    """Names of the built-in pruners."""
    return PRUNERS.names()


def plain_pruner(pruner: str) -> str:
    """The name of a pruner in rows of results and in circuit files: `own/mine.py+trim` becomes `mine+trim`.

    The pruner's file is not loaded.
    """
    name = PrunerName.parse(pruner)
    return str(replace(name, base=name_of(name.base, PRUNERS.attribute)))


def named_plainly(config: Settings) -> Settings:
    """The config with its pruner's plain name, by which this process finds the pruner from now on.

    The pruner is loaded. `UserError` if that fails.
    """
    return replace(config, pruner=str(replace(config.name, base=PRUNERS.resolve(config.name.base).name)))


def get_pruner(name: str) -> Pruner:
    """The pruner of that name, path or `module:attribute`. Options after the name are ignored.

    `UserError` for an unknown pruner, with a list of those that are known, and for a mistake in a user's file.
    """
    found = PRUNERS.resolve(PrunerName.parse(name).base)

    def rank(model: GPT, task: Task, config: Any, progress: Progress | None = None) -> Ranking:
        ranking = found.thing(model, task, config, progress)
        if not isinstance(ranking, Ranking):
            raise found.mistake(f"the pruner must return a Ranking, not {type(ranking).__name__}")
        return ranking

    return rank


def settings_of_pruner(name: str) -> type | None:
    """The dataclass `Settings` in the pruner's file; None if the file has none."""
    kind = getattr(PRUNERS.resolve(PrunerName.parse(name).base).holder, "Settings", None)
    return kind if isinstance(kind, type) else None


def get_joint_pruner(name: str) -> JointPruner | None:
    """The function `rank_together` in the pruner's file, which prunes for several tasks; None if the file has none."""
    joint: JointPruner | None = getattr(PRUNERS.resolve(PrunerName.parse(name).base).holder, "rank_together", None)
    return joint


def pruner_fingerprint(name: str) -> str:
    """16 hex digits of a hash of a user's pruner file, which must be loaded already; empty for a built-in pruner."""
    return PRUNERS.fingerprint(PrunerName.parse(name).base)
