"""What circuits know of a task: batches of prompt pairs. How the prompts are made is the task's own affair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from sparsegpt2.errors import UserError

SPLITS = ("train", "validation", "test")
"""Prune on `train`, choose settings on `validation`, report on `test`."""

ANYTHING_ELSE = -1
"""In `TaskBatch.answer` or `.alternative`: whatever token the other column does not name."""


@dataclass(frozen=True)
class TaskBatch:
    """n prompt pairs as 2n rows; rows 2i and 2i+1 are the two sides of pair i.

    Every row has an answer, an alternative or both; `score.py` turns them into a loss.
    """

    tokens: Tensor
    """[2n, T] int64, right-padded with end of text (models are causal, so padding changes nothing)."""
    position: Tensor
    """[2n] int64, index of each prompt's last token: the logits there predict the answer."""
    answer: Tensor
    """[2n] int64 token id; -1: anything but `alternative` is right."""
    alternative: Tensor
    """[2n] int64 token id; -1: anything but `answer` is wrong (there is no alternative token)."""

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or len(self.tokens) % 2:
            raise UserError(f"a batch's tokens must be [2n, T], two rows a pair, not {list(self.tokens.shape)}")
        for name in ("position", "answer", "alternative"):
            column: Tensor = getattr(self, name)
            if column.shape != self.tokens.shape[:1]:
                raise UserError(
                    f"a batch's {name} must be [{len(self.tokens)}], one entry a row, not {list(column.shape)}"
                )
        if bool(((self.answer == ANYTHING_ELSE) & (self.alternative == ANYTHING_ELSE)).any()):
            raise UserError("a row with neither answer nor alternative asks nothing: give at least one token")

    def __len__(self) -> int:
        """Rows, 2n."""
        return len(self.tokens)

    def to(self, device: torch.device | str) -> TaskBatch:
        """The same batch on `device`."""
        return TaskBatch(
            tokens=self.tokens.to(device),
            position=self.position.to(device),
            answer=self.answer.to(device),
            alternative=self.alternative.to(device),
        )


class Task(Protocol):
    """A source of prompt pairs, the same for the same (split, n, seed)."""

    @property
    def name(self) -> str: ...

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs of `split` (one of `SPLITS`); pair i depends on (split, seed, i) only. Raises `UserError`."""
        ...
