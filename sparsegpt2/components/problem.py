"""A `Problem` is what a method works on: a model, a task, a kind of ablation and an objective.

Its methods run the model with only some edges kept, and measure the objective. In a bidirectional model (not causal)
padding would change the result. So the task of such a model gives its padding token in an attribute `padding`, and only
prompts of equal length are run together. Shapes: N masks, B rows (two per pair), V vocabulary, W writers, R readers
(docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.components.config import DiscoverConfig
from sparsegpt2.components.counterfactual import FROM_PROMPTS, counterfactual, writer_means
from sparsegpt2.components.graph import ComponentGraph
from sparsegpt2.components.objectives import damage
from sparsegpt2.components.streams import EdgeMix, Run
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Site, Streams

MEAN_PAIRS = 128
"""Number of train pairs over which writers' outputs are averaged for the `mean` intervention."""


@dataclass(frozen=True)
class Part:
    """Rows that are run together, and what ablated edges carry in them."""

    batch: TaskBatch
    other: Run
    """The counterfactual run of these rows."""


@dataclass(frozen=True)
class Trial:
    """The prompts on which masks are tested, with the full model's logits on them."""

    parts: tuple[Part, ...]
    """A single part or, for a bidirectional model, one part for each prompt length."""
    batch: TaskBatch
    """The rows of all parts, in order."""
    full: Tensor
    """Logits of the full model after each prompt, [B, V] float32."""

    def __len__(self) -> int:
        """Number of rows, B."""
        return len(self.batch)


class Problem:
    """Tests masks over the edges of `model` on `task`.

    Call its methods inside `with circuits.gates.frozen(model, torch.float32)`.
    """

    def __init__(self, model: GPT, task: Task, config: DiscoverConfig, objective: str) -> None:
        self.model, self.task, self.config, self.objective = model, task, config, objective
        self.graph = ComponentGraph.of(model.config)

    @property
    def device(self) -> torch.device:
        """The model's device."""
        return self.model.wte.weight.device

    @property
    def from_prompts(self) -> bool:
        """Whether ablated edges carry values from another prompt.

        If they do, kept edges that are on no path from the embedding have no effect.
        """
        return self.config.intervention in FROM_PROMPTS

    @cached_property
    def means(self) -> Run:
        """Mean outputs of the writers over `MEAN_PAIRS` train pairs."""
        batches = self._batches("train", MEAN_PAIRS, self.config.seed)
        return writer_means(self.model, [(batch.tokens, batch.position) for batch in batches])

    def trial(self, split: str, pairs: int, seed: int) -> Trial:
        """A trial on `pairs` pairs of a split. `UserError` if the model's logits are not finite."""
        batches = self._batches(split, pairs, seed)
        with torch.no_grad():
            full = torch.cat([self.model(batch.tokens, position=batch.position).float() for batch in batches])
        if not bool(torch.isfinite(full).all()):
            raise UserError(f"the model's logits on task {self.task.name} are not finite: its weights contain NaN")
        means = self.means if self.config.intervention == "mean" else None
        parts = tuple(
            Part(batch, counterfactual(self.model, batch, self.config.intervention, means=means, seed=self.config.seed))
            for batch in batches
        )
        return Trial(parts, batches[0] if len(batches) == 1 else TaskBatch.join(batches), full)

    def _batches(self, split: str, pairs: int, seed: int) -> list[TaskBatch]:
        """`pairs` pairs of a split, in one batch. For a bidirectional model, one batch for each prompt length, without
        padding."""
        batch = task_batch(self.model, self.task, split, pairs, seed)
        if self.model.config.causal:
            return [batch.take(slice(None))]
        padding = getattr(self.task, "padding", None)
        lengths = torch.full((len(batch),), batch.tokens.shape[1])
        if padding is not None:
            lengths = (batch.tokens != padding).sum(dim=1).cpu()
        return [_of_length(batch, lengths, int(length)) for length in lengths.unique()]

    def logits(self, trial: Trial, kept: Tensor) -> Tensor:
        """Logits [N, B, V] with only the edges of each mask kept.

        kept: [N, W, R], or [N, B, W, R] with a mask for each row of the trial; values from 0 to 1. The logits are
        differentiable with respect to `kept`.
        """
        found = []
        sizes = [len(part.batch) for part in trial.parts]
        own = kept.split(sizes, dim=1) if kept.ndim == 4 else [kept] * len(sizes)
        for part, masks in zip(trial.parts, own, strict=True):
            mix = EdgeMix(self.model, self.graph, masks, part.other)
            found.append(self.run(part, mix, copies=len(kept)).unflatten(0, (len(kept), -1)))
        return torch.cat(found, dim=1)

    def run(self, part: Part, streams: Streams, *, site: Site | None = None, copies: int = 1) -> Tensor:
        """Logits [copies * B, V] of a forward pass with `streams`, with the part's rows repeated `copies` times."""
        tokens, position = part.batch.tokens.repeat(copies, 1), part.batch.position.repeat(copies)
        logits: Tensor = self.model(tokens, position=position, streams=streams, site=site)
        return logits.float()

    def damage(self, trial: Trial, kept: Tensor) -> Tensor:
        """The objective for each mask and row, [N, B]. kept: as in `logits`."""
        logits = self.logits(trial, kept)
        return torch.stack([damage(self.objective, one, trial.full, trial.batch) for one in logits])

    @torch.no_grad()
    def mean_damage(self, trial: Trial, kept: Tensor) -> Tensor:
        """The objective for each of many masks [N, W, R], averaged over rows: float64 [N], on the CPU.

        Masks are run in groups of at most `config.rows` sequences.
        """
        at_once = max(1, self.config.rows // len(trial))
        groups = [self.damage(trial, group).double().mean(dim=1).cpu() for group in kept.split(at_once)]
        return torch.cat(groups)

    def everything(self) -> Tensor:
        """The mask that keeps all edges, float32 [W, R]."""
        return self.graph.present.to(self.device, torch.float32)


def _of_length(batch: TaskBatch, lengths: Tensor, length: int) -> TaskBatch:
    """The rows of a batch that have `length` tokens, without their padding.

    lengths: number of tokens of each row, int64 [B]. `UserError` if the two sides of a pair differ in length.
    """
    if not torch.equal(lengths[0::2], lengths[1::2]):
        raise UserError("a bidirectional model needs pairs whose two prompts have the same number of tokens")
    rows = (lengths == length).nonzero().flatten().to(batch.tokens.device)
    return TaskBatch(
        tokens=batch.tokens[rows, :length],
        position=batch.position[rows],
        answer=batch.answer[rows],
        alternative=batch.alternative[rows],
    )
