"""Tasks by name: every file in eval_tasks/tasks is one, and so is a file of your own.

Beside these 20, which ask about Python, eval_tasks/english holds tasks of the literature on component circuits. They
need a tokenizer with English words, such as GPT-2's, and are run when they are named.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from eval_tasks.base import Pair, PairTask, PosedTask, Unposable
from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import Tokenizer

FOLDER = Path(__file__).parent / "tasks"
ENGLISH = Path(__file__).parent / "english"


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


def get_task(name: str, tokenizer: Tokenizer) -> PosedTask:
    """The task called `name`, or the one in the file `name` (a path ending in .py), posed with `tokenizer`.

    `UserError` when there is no such task, the file is no task, or the tokenizer can't pose it (then with the reason).
    """
    path = _task_file(name)
    return PosedTask(path.stem, _read_definition(path), tokenizer)


def available(tokenizer: Tokenizer) -> dict[str, str | None]:
    """Every task's name, with None where `tokenizer` can pose it and the reason where it can't."""
    return {entry.name: entry.reason for entry in describe(tokenizer, examples=0)}


def describe(tokenizer: Tokenizer, examples: int = 2, names: list[str] | None = None) -> list[TaskEntry]:
    """Each task (all, or those in `names`) with its first pairs, or with the reason why it can't be posed."""
    entries = []
    for name in task_names() if names is None else names:
        path = _task_file(name)
        definition = _read_definition(path)
        try:
            task = PosedTask(path.stem, definition, tokenizer)
            pairs = tuple(task.pairs("train", examples, seed=0)) if examples else ()
            entries.append(TaskEntry(task.name, definition.description, pairs, None))
        except Unposable as error:
            entries.append(TaskEntry(path.stem, definition.description, (), error.reason))
    return entries


def _task_file(name: str) -> Path:
    if not name.endswith(".py"):
        for folder in (FOLDER, ENGLISH):
            if name in task_names(folder):
                return folder / f"{name}.py"
        names = ", ".join(task_names() + task_names(ENGLISH))
        raise UserError(f"there is no task {name!r}; the tasks are {names}, or the path of a file of your own")
    path = Path(name)
    if not path.is_file():
        raise UserError(f"the task file {name} does not exist")
    return path


def _read_definition(path: Path) -> PairTask:
    """The `TASK` of a task file; whatever goes wrong while it runs is a `UserError` that names the file."""
    spec = importlib.util.spec_from_file_location(f"eval_tasks.tasks.{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a path that ends in .py always has both
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UserError(f"the task file {path} can't be run: {type(error).__name__}: {error}") from None
    definition = getattr(module, "TASK", None)
    if not isinstance(definition, PairTask):
        raise UserError(f"the task file {path} must set TASK to a PairTask, not to {type(definition).__name__}")
    return definition
