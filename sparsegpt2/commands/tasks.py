"""`sparsegpt2 tasks`: the tasks, with examples, and why a tokenizer can't pose one."""

from __future__ import annotations

from eval_tasks.registry import TaskEntry
from sparsegpt2.settings import make_parser, parse


def tasks(arguments: list[str]) -> None:
    """List the tasks: what each asks, two example pairs, or why the tokenizer can't pose it."""
    from eval_tasks.registry import ENGLISH, describe, task_names
    from sparsegpt2.text.tokenizer import Tokenizer

    parser = make_parser("sparsegpt2 tasks", tasks.__doc__ or "")
    parser.add_argument("--tokenizer", type=str, required=True, help="A tokenizer.json, or a model or folder with one.")
    parser.add_argument("--examples", type=int, default=2, help="Example pairs of each task.")
    parser.add_argument("names", nargs="*", type=str, default=[], help="Tasks, or files of your own; all by default.")
    settings = parse(parser, arguments)
    tokenizer = Tokenizer.load(settings.tokenizer)
    entries = describe(tokenizer, settings.examples, settings.names or None)
    _list(entries)
    print(f"{_posable(entries)} of {len(entries)} tasks can be posed with this tokenizer")
    if not settings.names:
        english = describe(tokenizer, settings.examples, task_names(ENGLISH))
        print("\nTasks in English, for tokenizers with its words, such as GPT-2's; run when they are named:\n")
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
