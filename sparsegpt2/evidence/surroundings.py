"""A task's prompts with other text before them, for the check generalisation.

There are two kinds: `longer` and `distractors`. A task can make these prompts itself (`task.VariedTask`). For other
tasks, the same tokens are put before both prompts of a pair. For `longer` they are pretraining text; for `distractors`
they are another pair's prompt with its answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.task import Task, TaskBatch, VariedTask


def in_surroundings(task: Task, kind: str, length: int, text: Tensor) -> Task:
    """The task with prompts of a kind (`longer` or `distractors`) of at most `length` tokens.

    text: pretraining text, N windows of T tokens, [N, T] int64; used if the task cannot make such prompts itself.
    """
    return task.variant(kind, length) if isinstance(task, VariedTask) else Preceded(task, kind, length, text)


@dataclass(frozen=True)
class Preceded:
    """A task whose prompts have other tokens before them."""

    task: Task
    kind: str
    length: int
    """Largest number of tokens of a prompt, including the tokens put before it."""
    text: Tensor
    """Pretraining text, N windows of T tokens, [N, T] int64."""

    @property
    def name(self) -> str:
        return f"{self.task.name}, {self.kind}"

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """Pairs of the task with other tokens before each prompt.

        For the kind `longer` they are a window of text. For `distractors` they are another pair's prompt and its
        answer. Their beginning is cut off so that they and the prompt together have at most `length` tokens.
        """
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
    """One prompt of a pair, followed by its answer if that is a single token: a vector of token ids.

    It is the left prompt of pairs with an even number and the right prompt of the others.
    """
    row = 2 * pair + pair % 2
    prompt, answer = batch.tokens[row, : int(batch.position[row]) + 1], batch.answer[row : row + 1]
    return torch.cat([prompt, answer[answer >= 0]])
