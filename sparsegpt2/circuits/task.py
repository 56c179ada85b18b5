"""What circuits know of a task: batches of prompt pairs. How the prompts are made is the task's own affair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.errors import UserError

SPLITS = ("train", "validation", "test")
"""Prune on `train`, choose settings on `validation`, report on `test`."""

SURROUNDINGS = ("longer", "distractors")
"""What a `VariedTask` can put around its questions: other code before them, or the same question answered before."""

ANYTHING_ELSE = -1
"""In `TaskBatch.answer` or `.alternative`: whatever token the other column does not name."""

MOST_PIECES, PIECE_TOKENS = 4, 2048
"""A batch is cut by length into one piece for so many tokens, up to the most: more pad less, but start more operations.
"""


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

    def __repr__(self) -> str:
        longest = int(self.position.max()) + 1 if len(self) else 0
        return f"TaskBatch({len(self) // 2} pairs, prompts of at most {longest} tokens, on {self.tokens.device})"

    def __len__(self) -> int:
        """Rows, 2n."""
        return len(self.tokens)

    def take(self, rows: Tensor | slice) -> TaskBatch:
        """Some of the rows (whole pairs), in the order asked for, without the padding that none of them needs.

        In a causal model padding changes nothing, and it costs time.
        """
        position = self.position[rows]
        length = int(position.max()) + 1
        return TaskBatch(
            tokens=self.tokens[rows, :length],
            position=position,
            answer=self.answer[rows],
            alternative=self.alternative[rows],
        )

    def by_length(self, most: int) -> Iterator[tuple[Tensor, TaskBatch]]:
        """(rows, those rows) in pieces of similar length, so that little is padded; pairs stay together.

        A piece has at most `most` rows (2 if that is less).
        """
        pairs = self.position.view(-1, 2).amax(dim=1).argsort(stable=True)  # [n], shortest first
        pieces = min(MOST_PIECES, 1 + self.tokens.numel() // PIECE_TOKENS)
        at_once = max(1, min(most // 2, -(-len(pairs) // pieces)))
        for some in pairs.split(at_once):
            rows = torch.stack([2 * some, 2 * some + 1], dim=1).flatten()
            yield rows, self.take(rows)

    @staticmethod
    def join(batches: Sequence[TaskBatch]) -> TaskBatch:
        """Several batches as one, row after row."""
        longest = max(batch.tokens.shape[1] for batch in batches)
        tokens = [F.pad(batch.tokens, (0, longest - batch.tokens.shape[1])) for batch in batches]
        return TaskBatch(
            tokens=torch.cat(tokens),
            position=torch.cat([batch.position for batch in batches]),
            answer=torch.cat([batch.answer for batch in batches]),
            alternative=torch.cat([batch.alternative for batch in batches]),
        )

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


@runtime_checkable
class VariedTask(Task, Protocol):
    """A task that can put its questions into other surroundings, to see whether a circuit still answers them."""

    def variant(self, kind: str, length: int) -> Task:
        """The task in surroundings of `kind` (one of `SURROUNDINGS`), its prompts at most `length` tokens long."""
        ...


@runtime_checkable
class RewordableTask(Task, Protocol):
    """A task made of templates, whose question can be asked with others."""

    def reworded(self, name: str, templates: str, words: str = "") -> Task:
        """The same question in other templates, with further words; `Unposable` where the tokenizer can't pose it."""
        ...

    def pairs(self, split: str, n: int, seed: int) -> Sequence[Any]:
        """Pairs 0 to n - 1 of (split, seed); each has a `left` and a `right` side with its `prompt` as text."""
        ...


class Unposable(UserError):
    """A tokenizer in which a task breaks its rules, with the reason."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"task {name!r} can't be posed with this tokenizer: {reason}")
        self.reason = reason
