"""What can stand before a task's prompts, to see whether a circuit still answers there."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from eval_tasks.template import Flaw, Rendered, Template, filler
from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import Tokenizer


class Asker(Protocol):
    """What surroundings need of the task they are put around (`eval_tasks.base.PosedTask`)."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def templates(self) -> Sequence[Template]: ...

    def words(self, split: str) -> dict[str, tuple[str, ...]]:
        """Words of a split, by section and slot."""
        ...

    def room(self, prompt: str) -> int:
        """Tokens that may still stand before a prompt."""
        ...


Sides = tuple[Rendered, Rendered]
Preface = Callable[[Asker, Sides, str, random.Random], Sides]
"""(task, both sides, split, source of randomness) -> both sides with the same code before them; may raise `Flaw`."""

BETWEEN = "\n\n\n"
"""Between two programs in one document."""


def preface_of(kind: str) -> Preface:
    """What makes the surroundings of `kind`; an unknown kind is a `UserError` that lists what there is."""
    if kind not in PREFACES:
        raise UserError(f"there are no surroundings {kind!r}; there are {', '.join(PREFACES)}")
    return PREFACES[kind]


def longer(task: Asker, sides: Sides, split: str, source: random.Random) -> Sides:
    """Blocks of other code, one more until the next would not fit; a prompt that has no room for one is a `Flaw`."""
    before, room = "", min(task.room(side.prompt) for side in sides)
    while True:
        block = filler(task.words(split), source)
        if not block or len(task.tokenizer.encode(before + block)) > room:
            break
        before += block
    if not before:
        raise Flaw("there is no room for a block of code before the prompt")
    return _preceded(before, sides)


def distractors(task: Asker, sides: Sides, split: str, source: random.Random) -> Sides:
    """A program of the same task, finished with the answer of one of its sides, picked at random."""
    template = task.templates[int(source.random() * len(task.templates))]
    program = template.render(task.words(split), source)[int(source.random() * 2)]
    text = program.prompt + (program.answer or "") + program.rest
    return _preceded(text.rstrip("\n") + BETWEEN, sides)


def _preceded(before: str, sides: Sides) -> Sides:
    left, right = (replace(side, prompt=before + side.prompt) for side in sides)
    return left, right


PREFACES: dict[str, Preface] = {"longer": longer, "distractors": distractors}
