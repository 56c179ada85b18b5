"""Tasks by name: every file in eval_tasks/tasks is one, and sets `TASK`.

So does a file of your own, named by its path, by `module:attribute` or through an entry point of the group
`sparsegpt2.tasks` (sparsegpt2/registry.py).

Beside these 20, which ask about Python, eval_tasks/english holds tasks of the literature on component circuits. They
need a tokenizer with English words, such as GPT-2's, and are run when they are named.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.base import Pair, PairTask, PosedTask, Unposable
from sparsegpt2.errors import UserError
from sparsegpt2.registry import Found, Kind
from sparsegpt2.text.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "tasks"
ENGLISH = Path(__file__).parent / "english"


def _flaw(task: Any, _holder: Any) -> str:
    return "" if isinstance(task, PairTask) else f"must be a PairTask, not {type(task).__name__}"


TASKS = Kind("task", "sparsegpt2.tasks", "TASK", _flaw, ("eval_tasks.tasks", "eval_tasks.english"), may_shadow=True)


@dataclass(frozen=True)
class TaskEntry:
    """What a listing says of one task."""

    name: str
    description: str
    pairs: tuple[Pair, ...]
    """Examples; empty when the task can't be posed."""
    reason: str | None
    """Why the task can't be posed with the tokenizer; None when it can."""


def task_names(folder: Path = FOLDER) -> list[str]:
    """The names of the tasks in eval_tasks/tasks, or in another folder (`ENGLISH`), sorted."""
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def get_task(name: str, tokenizer: Tokenizer, *, trusted: bool = True) -> PosedTask:
    """The task `name`, posed with `tokenizer`: a name, a path ending in .py, or `module:attribute`.

    trusted: whether a user typed the name. Of a name that a file holds (a circuit's, a row's) False, so that no code is
    run but that of built-in and installed tasks. `UserError` when there is no such task, the file is no task, or the
    tokenizer can't pose it (then `Unposable`, with the reason).
    """
    return _posed(TASKS.resolve(name) if trusted else TASKS.named(name), tokenizer)


def available(tokenizer: Tokenizer) -> dict[str, str | None]:
    """Every task's name, with None where `tokenizer` can pose it and the reason where it can't."""
    return {entry.name: entry.reason for entry in describe(tokenizer, examples=0)}


def describe(tokenizer: Tokenizer, examples: int = 2, names: list[str] | None = None) -> list[TaskEntry]:
    """Each task (all, or those in `names`) with its first pairs, or with the reason why it can't be posed."""
    entries = []
    for found in map(TASKS.resolve, task_names() if names is None else names):
        about = found.thing.description
        try:
            task = _posed(found, tokenizer)
            pairs = tuple(task.pairs("train", examples, seed=0)) if examples else ()
            entries.append(TaskEntry(task.name, about, pairs, None))
        except Unposable as error:
            entries.append(TaskEntry(found.name, about, (), error.reason))
    return entries


def _posed(found: Found, tokenizer: Tokenizer) -> PosedTask:
    try:
        return PosedTask(found.name, found.thing, tokenizer)
    except Unposable:
        raise
    except UserError as error:  # a mistake in the templates, say
        raise found.mistake(str(error)) if found.file else error from None
