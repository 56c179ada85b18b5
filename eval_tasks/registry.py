"""Tasks by name. Every file in eval_tasks/tasks defines one task, as `TASK`.

A file of your own can define a task in the same way. Refer to it by its path, by `module:attribute` or by an entry
point of the group `sparsegpt2.tasks` (sparsegpt2/registry.py).

The 20 tasks in eval_tasks/tasks are about Python code. Tasks from the literature on component circuits are in
eval_tasks/english. They need a tokenizer with English words, such as GPT-2's, and run only if the user names them.
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
    """What is wrong with what was registered as a task, as the end of a sentence; empty if nothing is."""
    return "" if isinstance(task, PairTask) else f"must be a PairTask, not {type(task).__name__}"


TASKS = Kind("task", "sparsegpt2.tasks", "TASK", _flaw, ("eval_tasks.tasks", "eval_tasks.english"), may_shadow=True)


@dataclass(frozen=True)
class TaskEntry:
    """One task in a listing."""

    name: str
    description: str
    pairs: tuple[Pair, ...]
    """Example pairs; empty if the task is unavailable."""
    reason: str | None
    """Why the task is unavailable in the tokenizer; None if it is available."""


def task_names(folder: Path = FOLDER) -> list[str]:
    """Sorted names of the tasks in eval_tasks/tasks, or in another folder (`ENGLISH`)."""
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def get_task(name: str, tokenizer: Tokenizer, *, trusted: bool = True) -> PosedTask:
    """The task `name`, posed with `tokenizer`.

    name: name of a task, a path ending in .py, or `module:attribute`. trusted: True if a user typed the name, False if
    it was read from a file (a circuit or a row of results). An untrusted name only runs the code of built-in tasks and
    of tasks in installed packages. `UserError` if there is no such task or the file does not define one; `Unposable`,
    with the reason, if the tokenizer can't pose the task.
    """
    return _posed(TASKS.resolve(name) if trusted else TASKS.named(name), tokenizer)


def available(tokenizer: Tokenizer) -> dict[str, str | None]:
    """Task name -> None if the task is available in `tokenizer`, otherwise the reason why it is not."""
    return {entry.name: entry.reason for entry in describe(tokenizer, examples=0)}


def describe(tokenizer: Tokenizer, examples: int = 2, names: list[str] | None = None) -> list[TaskEntry]:
    """An entry for each task in `names`, by default for all 20.

    examples: number of example pairs in the entry of an available task.
    """
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
    except UserError as error:  # such as a mistake in the templates
        raise found.mistake(str(error)) if found.file else error from None
