"""A task as pruners and checks see it: batches of prompt pairs. Each task decides how it makes its prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.host import looks_are_free
from sparsegpt2.errors import UserError

SPLITS = ("train", "validation", "test")
"""Gates are trained on `train`, sizes and settings are chosen on `validation`, and losses are reported on `test`."""

SURROUNDINGS = ("longer", "distractors")
"""What a `VariedTask` can put before a prompt. `longer`: unrelated code. `distractors`: a complete program that asks
the same question and answers it."""

ANYTHING_ELSE = -1
"""In a row of `TaskBatch.answer` this means any token except the row's alternative. In a row of `TaskBatch.alternative`
it means any token except the row's answer."""

MOST_PIECES, PIECE_TOKENS = 4, 2048
"""A batch is cut by prompt length into one piece per `PIECE_TOKENS` tokens, but at most `MOST_PIECES` pieces. More
pieces need less padding, but more operations."""


@dataclass(frozen=True)
class TaskBatch:
    """n prompt pairs as 2n rows. Rows 2i and 2i + 1 are the two sides of pair i.

    Every row has an answer token, an alternative token or both. `losses.py` computes a loss from them. Code that uses a
    batch makes decisions by the lengths of its prompts, and by whether it contains `ANYTHING_ELSE`. So `position`,
    `answer` and `alternative` are also kept on the CPU (`host`), where they can be read without waiting for a GPU.
    """

    tokens: Tensor
    """[2n, T] int64, padded on the right with end of text. Models are causal, so padding changes nothing."""
    position: Tensor
    """[2n] int64, index of each prompt's last token: the logits there predict the answer."""
    answer: Tensor
    """[2n] int64 token id; -1 means that any token but `alternative` is right."""
    alternative: Tensor
    """[2n] int64 token id; -1 means that any token but `answer` is wrong (there is no alternative token)."""

    def __post_init__(self) -> None:
        if self.tokens.ndim != 2 or len(self.tokens) % 2:
            raise UserError(f"a batch's tokens must be [2n, T], two rows per pair, not {list(self.tokens.shape)}")
        for name in ("position", "answer", "alternative"):
            column: Tensor = getattr(self, name)
            if column.shape != self.tokens.shape[:1]:
                raise UserError(
                    f"a batch's {name} must be [{len(self.tokens)}], one entry per row, not {list(column.shape)}"
                )
        free = looks_are_free(self.tokens.device)  # a batch on a GPU was checked before it was moved there
        if free and bool(((self.answer == ANYTHING_ELSE) & (self.alternative == ANYTHING_ELSE)).any()):
            raise UserError("every row of a batch needs an answer token or an alternative token; some row has neither")

    def __repr__(self) -> str:
        longest = self.longest if len(self) else 0
        return f"TaskBatch({len(self) // 2} pairs, prompts of at most {longest} tokens, on {self.tokens.device})"

    def __len__(self) -> int:
        """Number of rows, 2n."""
        return len(self.tokens)

    @property
    def host(self) -> tuple[Tensor, Tensor, Tensor]:
        """position, answer and alternative on the CPU. If the batch was made on a GPU, they are copied once."""
        known: tuple[Tensor, Tensor, Tensor] | None = self.__dict__.get("_host")
        if known is None:
            known = self.position.cpu(), self.answer.cpu(), self.alternative.cpu()
            if self.position.device.type != "cpu":
                object.__setattr__(self, "_host", known)
        return known

    def _knowing(self, host: tuple[Tensor, Tensor, Tensor]) -> TaskBatch:
        """This batch, with `host` stored as the CPU copies of its columns."""
        if self.__dict__.get("_host") is None and host[0] is not self.position:
            object.__setattr__(self, "_host", host)
        return self

    @property
    def device(self) -> torch.device:
        """The device of the batch's tensors."""
        return self.tokens.device

    @property
    def longest(self) -> int:
        """Number of tokens of the longest prompt."""
        return int(self.host[0].max()) + 1

    @property
    def open_choices(self) -> tuple[bool, bool]:
        """Whether the answer of any row, and whether the alternative of any row, is `ANYTHING_ELSE`."""
        _, answer, alternative = self.host
        return bool((answer == ANYTHING_ELSE).any()), bool((alternative == ANYTHING_ELSE).any())

    def take(self, rows: Tensor | slice) -> TaskBatch:
        """A batch of some of the rows, in the given order, cut to the length of its longest prompt.

        In a causal model padding changes nothing but costs time. rows: indices of whole pairs; they should be on the
        CPU, even if the batch is on a GPU.
        """
        if self.__dict__.get("_host") is None and self.position.device.type == "cpu":
            host, there = None, rows
        else:
            known = rows.cpu() if isinstance(rows, Tensor) else rows
            host = tuple(column[known] for column in self.host)
            there = rows.to(self.tokens.device, non_blocking=True) if isinstance(rows, Tensor) else rows
        position = self.position[there]
        length = int((position if host is None else host[0]).max()) + 1
        taken = TaskBatch(
            tokens=self.tokens[there, :length],
            position=position,
            answer=self.answer[there],
            alternative=self.alternative[there],
        )
        return taken if host is None else taken._knowing((host[0], host[1], host[2]))

    def by_length(self, most: int) -> Iterator[tuple[Tensor, TaskBatch]]:
        """Cut the batch into pieces whose prompts have similar lengths. Yields (row indices, those rows).

        Such pieces need little padding. Pairs stay together. A piece has at most `most` rows, but at least one pair.
        The cuts are computed on the CPU.
        """
        pairs = self.host[0].view(-1, 2).amax(dim=1).argsort(stable=True)  # [n], shortest first
        pieces = min(MOST_PIECES, 1 + self.tokens.numel() // PIECE_TOKENS)
        at_once = max(1, min(most // 2, -(-len(pairs) // pieces)))
        for some in pairs.split(at_once):
            rows = torch.stack([2 * some, 2 * some + 1], dim=1).flatten()
            yield rows.to(self.tokens.device, non_blocking=True), self.take(rows)

    @staticmethod
    def join(batches: Sequence[TaskBatch]) -> TaskBatch:
        """Several batches as one: the rows of the first batch, then those of the second, and so on."""
        longest = max(batch.tokens.shape[1] for batch in batches)
        tokens = [F.pad(batch.tokens, (0, longest - batch.tokens.shape[1])) for batch in batches]
        joined = TaskBatch(
            tokens=torch.cat(tokens),
            position=torch.cat([batch.position for batch in batches]),
            answer=torch.cat([batch.answer for batch in batches]),
            alternative=torch.cat([batch.alternative for batch in batches]),
        )
        if all(batch.position is batch.host[0] for batch in batches):  # all are on the CPU
            return joined
        position, answer, alternative = (torch.cat(columns) for columns in zip(*[b.host for b in batches], strict=True))
        return joined._knowing((position, answer, alternative))

    def to(self, device: torch.device | str) -> TaskBatch:
        """The same batch on `device`. The copy may still be running when this returns."""
        moved = TaskBatch(
            tokens=self.tokens.to(device, non_blocking=True),
            position=self.position.to(device, non_blocking=True),
            answer=self.answer.to(device, non_blocking=True),
            alternative=self.alternative.to(device, non_blocking=True),
        )
        return moved._knowing(self.host)


class Task(Protocol):
    """A source of prompt pairs. The same (split, n, seed) always gives the same pairs."""

    @property
    def name(self) -> str: ...

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs of `split` (one of `SPLITS`). Pair i depends only on (split, seed, i). May raise `UserError`."""
        ...


@runtime_checkable
class VariedTask(Task, Protocol):
    """A task that can put other text before its prompts, to test whether a circuit still does the task."""

    def variant(self, kind: str, length: int) -> Task:
        """The task with text of `kind` (one of `SURROUNDINGS`) before its prompts.

        length: largest number of tokens in a prompt.
        """
        ...


@runtime_checkable
class RewordableTask(Task, Protocol):
    """A task made from templates, whose question can be asked with other templates too."""

    def reworded(self, name: str, templates: str, words: str = "") -> Task:
        """A task called `name` that asks the same question with other `templates`.

        words: sections of words that the templates may use in addition to those of the task (see `eval_tasks.base`).
        `Unposable` if the tokenizer cannot express the question in this way.
        """
        ...

    def pairs(self, split: str, n: int, seed: int) -> Sequence[Any]:
        """Pairs 0 to n - 1 of (split, seed). A pair has a `left` and a `right` side, each with its `prompt` as text."""
        ...


class Unposable(UserError):
    """A task cannot be posed with a tokenizer, because its prompts cannot be written with it. `reason` says why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"task {name!r} can't be posed with this tokenizer: {reason}")
        self.reason = reason
