"""`sparsegpt2 tasks MODEL`: list the tasks, with examples, and whether the model's tokenizer can pose them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.settings import Parser

if TYPE_CHECKING:
    from eval_tasks.registry import TaskEntry


def tasks_parser() -> Parser:
    """The parser of the settings of `tasks`."""
    parser = Parser(
        "tasks MODEL [TASK...]",
        "List the tasks. Each has a description and example pairs, or the reason why it can't be posed with the "
        "model's tokenizer.",
    )
    parser.positional("model", "A model, a run, or a tokenizer (a file or a folder).", alias="tokenizer")
    which = "Names of tasks, or files with your own tasks; by default all."
    parser.positional("names", which, metavar="TASK", many=True, required=False)
    parser.add("examples", int, 2, help="Number of example pairs for each task.")
    parser.front("Settings", examples="Number of example pairs for each task.")
    return parser


def tasks(arguments: list[str]) -> None:
    """List the tasks with example pairs, or with the reason why one can't be posed with the model's tokenizer."""
    settings = tasks_parser().parse(arguments)

    from eval_tasks.registry import ENGLISH, describe, task_names
    from sparsegpt2.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(settings.model)
    entries = describe(tokenizer, settings.examples, settings.names or None)
    _list(entries)
    print(f"{_posable(entries)} of {len(entries)} tasks can be posed with this tokenizer")
    if not settings.names:
        english = describe(tokenizer, settings.examples, task_names(ENGLISH))
        print(
            "\nTasks in English, for tokenizers with English words, such as GPT-2's. They run only if you name them:\n"
        )
        _list(english)
        print(f"{_posable(english)} of {len(english)} tasks in English can be posed with this tokenizer")


def _list(entries: list[TaskEntry]) -> None:
    for entry in entries:
        print(f"{entry.name}: {entry.description}")
        if entry.reason is not None:
            print(f"    can't be posed: {entry.reason}")
        for pair in entry.pairs:
            for side in (pair.left, pair.right):
                print(f"    {side.prompt!r} -> {'anything else' if side.answer is None else repr(side.answer)}")


def _posable(entries: list[TaskEntry]) -> int:
    return sum(entry.reason is None for entry in entries)
