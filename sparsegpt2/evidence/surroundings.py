"""The same questions in other surroundings, for the check generalisation.

A task that knows its text can make these prompts itself (`task.VariedTask`). For other tasks, tokens are put before
each prompt, the same ones for both sides of a pair: pretraining text for `longer`, another pair's prompt with its
answer for `distractors`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.task import Task, TaskBatch, VariedTask


def in_surroundings(task: Task, kind: str, length: int, text: Tensor) -> Task:
    """`task` in surroundings of `kind`, prompts of at most `length` tokens. text: pretraining text [N, T]."""
    return task.variant(kind, length) if isinstance(task, VariedTask) else Preceded(task, kind, length, text)


@dataclass(frozen=True)
class Preceded:
    """A task whose prompts have other tokens before them."""

    task: Task
    kind: str
    length: int
    """Largest number of tokens of a prompt, including those before it."""
    text: Tensor
    """[N, T] int64."""

    @property
    def name(self) -> str:
        return f"{self.task.name}, {self.kind}"

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """Pairs of `task`, each preceded by as much of a window of text, or of another pair's prompt, as fits."""
        batch = self.task.batch(split, n, seed)
        others = self.task.batch(split, n, seed + 1)
        padding = int(batch.tokens[0, -1])
        rows, positions = [], []
        for row in range(len(batch)):
            prompt = batch.tokens[row, : int(batch.position[row]) + 1]
            room = max(0, self.length - len(prompt))
            before = self.text[row // 2 % len(self.text)] if self.kind == "longer" else _one_side(others, row // 2)
            before = before[max(0, len(before) - room) :] if room else before[:0]
            rows.append(torch.cat([before.to(prompt.device), prompt]))
            positions.append(len(rows[-1]) - 1)
        tokens = torch.full((len(rows), max(map(len, rows))), padding)
        for row, line in enumerate(rows):
            tokens[row, : len(line)] = line
        return TaskBatch(
            tokens=tokens, position=torch.tensor(positions), answer=batch.answer, alternative=batch.alternative
        )


def _one_side(batch: TaskBatch, pair: int) -> Tensor:
    """The prompt of one side of a pair with its answer if that is a token, [T]; left and right sides alternate."""
    row = 2 * pair + pair % 2
    prompt, answer = batch.tokens[row, : int(batch.position[row]) + 1], batch.answer[row : row + 1]
    return torch.cat([prompt, answer[answer >= 0]])
