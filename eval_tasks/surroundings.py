"""Text to put before the prompts of a task, to check whether a circuit still gives the right answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from eval_tasks.template import Flaw, Rendered, Template, filler
from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import Tokenizer


class Asker(Protocol):
    """The part of a task (`eval_tasks.base.PosedTask`) that this module uses."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def templates(self) -> Sequence[Template]: ...

    def words(self, split: str) -> dict[str, tuple[str, ...]]:
        """Words of a split, by section and slot."""
        ...

    def room(self, prompt: str) -> int:
        """Number of tokens that can be put before a prompt without making it too long."""
        ...


Sides = tuple[Rendered, Rendered]
Preface = Callable[[Asker, Sides, str, random.Random], Sides]
"""A function of (task, both sides, split, source of randomness) that returns both sides with the same text put before
them. It may raise `Flaw`."""

BETWEEN = "\n\n\n"
"""Separator between two programs in one document."""


def preface_of(kind: str) -> Preface:
    """The function that puts text of `kind` before prompts; `UserError` with the known kinds if `kind` is unknown."""
    if kind not in PREFACES:
        raise UserError(f"a task has no variant {kind!r}; choose from {', '.join(PREFACES)}")
    return PREFACES[kind]


def longer(task: Asker, sides: Sides, split: str, source: random.Random) -> Sides:
    """Both prompts after as many blocks of unrelated code as fit; `Flaw` if not even one fits."""
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
    """Both prompts after a complete program of the same task. The program contains the answer of either side, chosen at
    random."""
    template = task.templates[int(source.random() * len(task.templates))]
    program = template.render(task.words(split), source)[int(source.random() * 2)]
    text = program.prompt + (program.answer or "") + program.rest
    return _preceded(text.rstrip("\n") + BETWEEN, sides)


def _preceded(before: str, sides: Sides) -> Sides:
    left, right = (replace(side, prompt=before + side.prompt) for side in sides)
    return left, right


PREFACES: dict[str, Preface] = {"longer": longer, "distractors": distractors}
