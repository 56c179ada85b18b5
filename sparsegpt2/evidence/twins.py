"""The controls: a nonsense task, and random models. A real circuit must be much smaller than the circuits that the same
pruner finds for these controls.

The idea is from Drori 2026, "Weight-sparse circuits may be interpretable yet unfaithful": a pruner that finds small
circuits for a nonsense task, or in a model that has learned nothing, constructs circuits rather than finding them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsegpt2.circuits.means import node_means
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.model.gpt import GPT


@dataclass(frozen=True)
class NonsenseTask:
    """The task with shuffled answers: one fixed random table replaces every answer token by another token.

    The prompts are unchanged, so what decides between the two answers is the same as in the original task. The new task
    is as consistent as the original and could be learned, but nothing in the training text continues this way.
    Shuffling the answers of each pair separately would not be a useful control, because no circuit could then have a
    low loss.
    """

    task: Task
    vocab_size: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task.name}, shuffled answers"

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """The task's pairs with every answer and alternative replaced by another token.

        The value `ANYTHING_ELSE`, which stands for every token except one, is not replaced.
        """
        batch = self.task.batch(split, n, seed)
        table = self.table()
        shuffled = [torch.where(tokens >= 0, table[tokens], tokens) for tokens in (batch.answer, batch.alternative)]
        return replace(batch, answer=shuffled[0], alternative=shuffled[1])

    def table(self) -> Tensor:
        """The replacement of each of the V tokens of the vocabulary, int64 [V]: one cycle through the vocabulary, so
        every token changes."""
        order = torch.randperm(self.vocab_size, generator=torch.Generator().manual_seed(self.seed))
        return torch.empty_like(order).scatter_(0, order, order.roll(1))


@torch.no_grad()
def random_twin(model: GPT, kind: str, seed: int, text: Tensor) -> GPT:
    """A model of the same shape and density that has learned nothing. Its node means are computed over `text` (N
    windows of T tokens, [N, T] int64).

    kind `initial`: a newly initialised model, in which each tensor keeps only its largest entries, as many as the
    trained tensor has nonzero entries. kind `permuted`: the trained entries of each tensor in random order. This keeps
    their magnitudes too. That matters because the logits of a newly initialised model are so small that no circuit in
    it can meet a low target loss.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        twin = GPT(model.config)
    trained = dict(model.named_parameters())
    for name, parameter in twin.named_parameters():
        source = trained[name].detach().cpu()
        if kind == "permuted":
            order = torch.randperm(source.numel(), generator=generator)
            parameter.copy_(source.flatten()[order].view_as(source))
        else:
            cut = parameter.abs().flatten().argsort(stable=True)[: source.numel() - int(source.count_nonzero())]
            parameter.view(-1)[cut] = 0
    twin.to(text.device).eval().requires_grad_(False)
    twin.means = node_means(twin, text)
    return twin
