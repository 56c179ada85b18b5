"""A model's logits after each prompt of a batch, and its task loss.

Shapes: B rows (two per pair), T positions, V vocabulary, R runs (copies of the batch in one forward pass).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from sparsegpt2.circuits.task import ANYTHING_ELSE, Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Site


def task_batch(model: GPT, task: Task, split: str, pairs: int, seed: int) -> TaskBatch:
    """`pairs` prompt pairs of a split of `task`, as a batch on the model's device.

    `UserError` if a token is outside the model's vocabulary, or a prompt is longer than its context.
    """
    batch = task.batch(split, pairs, seed)  # made on the CPU, where its values can be read without waiting
    highest = int(torch.stack([batch.tokens.max(), batch.answer.max(), batch.alternative.max()]).max())
    if highest >= model.config.vocab_size:
        raise UserError(
            f"task {task.name} uses token {highest}, but the model's vocabulary has {model.config.vocab_size} tokens: "
            "pose it with the tokenizer that is saved with the model"
        )
    if batch.longest > model.config.context:
        raise UserError(
            f"task {task.name} has a prompt of {batch.longest} tokens, longer than the model's context of "
            f"{model.config.context}"
        )
    return batch.to(model.wte.weight.device)


def answer_logits(
    model: GPT,
    batch: TaskBatch,
    site: Site | None = None,
    *,
    runs: int = 1,
    parameters: Mapping[str, Tensor] | None = None,
    position_only: bool = False,
) -> Tensor:
    """Logits after each prompt of the batch, which is repeated `runs` times: [runs * B, V] float32.

    Padding after the longest prompt is cut off, because in a causal model it changes no logits but costs time.
    parameters: name -> value that replaces the model's parameter in this call. position_only: as in `GPT.forward`.
    """
    tokens = batch.tokens[:, : batch.longest].repeat(runs, 1)
    arguments = {"site": site, "position": batch.position.repeat(runs), "position_only": position_only}
    logits: Tensor = functional_call(model, dict(parameters or {}), (tokens,), arguments)
    return logits.float()


def choice_logits(logits: Tensor, batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """Unnormalised log-probabilities of the right and of the wrong choice, each [B], from logits [B, V].

    The value of a choice that is a token is the token's logit. The value of `ANYTHING_ELSE` is the log-sum-exp of the
    logits of all tokens except the other choice.
    """

    def choice(token: Tensor, other: Tensor, is_open: bool) -> Tensor:
        one = logits.gather(1, token.clamp(min=0)[:, None]).squeeze(1)
        if not is_open:
            return one
        anything = token == ANYTHING_ELSE
        rest = logits.scatter(1, other.clamp(min=0)[:, None], -math.inf).logsumexp(dim=1)
        return torch.where(anything, rest, one)

    answer_open, alternative_open = batch.open_choices
    right = choice(batch.answer, batch.alternative, answer_open)
    return right, choice(batch.alternative, batch.answer, alternative_open)


def task_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """Loss of each row in nats, [B], from logits [B, V] float32. Its mean over a batch is the task loss.

    The loss is -log softmax over {answer, alternative}. If one of them is `ANYTHING_ELSE`, the choice is between the
    other token, with probability p over the whole vocabulary, and all other tokens, with probability 1 - p
    (docs/definitions.md, Task loss). A model that cannot tell two tokens apart has a loss of ln 2.
    """
    right, wrong = choice_logits(logits, batch)
    return F.softplus(wrong - right)


def accuracy(logits: Tensor, batch: TaskBatch) -> float:
    """Share of rows on which the right choice has a higher probability than the wrong one."""
    right, wrong = choice_logits(logits, batch)
    return float((right > wrong).float().mean())
