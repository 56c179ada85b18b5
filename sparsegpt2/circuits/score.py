"""How well a circuit does a task: the loss of the two sides of a prompt pair, and a circuit's score on a split.

Shapes: B rows (two a pair), T positions, V vocabulary, R runs (circuits in one forward pass).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.edges import ablate_edges
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.task import ANYTHING_ELSE, Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Site

ROWS = 256
"""Most sequences in one forward pass when scoring."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A circuit beside the unpruned model on the same pairs; losses in nats, averaged over both sides of each pair."""

    loss: float
    loss_full: float
    accuracy: float
    """Share of sides on which the right choice outweighs the wrong one."""
    accuracy_full: float
    loss_error: float
    """Standard error of `loss` over pairs."""
    pairs: int
    split: str

    def __repr__(self) -> str:
        return (
            f"Score(loss {self.loss:.4f} ± {self.loss_error:.4f}, accuracy {self.accuracy:.3f}; whole model "
            f"{self.loss_full:.4f}, {self.accuracy_full:.3f}; {self.pairs} {self.split} pairs)"
        )


def task_batch(model: GPT, task: Task, split: str, pairs: int, seed: int) -> TaskBatch:
    """A batch of `task` on the model's device; prompts that the model cannot read are a `UserError`."""
    batch = task.batch(split, pairs, seed)
    highest = int(torch.stack([batch.tokens.max(), batch.answer.max(), batch.alternative.max()]).max())
    if highest >= model.config.vocab_size:
        raise UserError(
            f"task {task.name} uses token {highest}, but the model's vocabulary has {model.config.vocab_size} tokens: "
            "pose it with the tokenizer saved beside the model"
        )
    longest = int(batch.position.max()) + 1
    if longest > model.config.context:
        raise UserError(
            f"task {task.name} has a prompt of {longest} tokens, longer than the model's context of "
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
    """Logits after each prompt, [runs * B, V] float32, of the batch repeated `runs` times.

    Padding behind the longest prompt is cut: in a causal model it changes nothing, and it costs time.
    parameters: replace the model's own, by name, for this call. position_only: as in `GPT.forward`.
    """
    tokens = batch.tokens[:, : int(batch.position.max()) + 1].repeat(runs, 1)
    arguments = {"site": site, "position": batch.position.repeat(runs), "position_only": position_only}
    logits: Tensor = functional_call(model, dict(parameters or {}), (tokens,), arguments)
    return logits.float()


def choice_logits(logits: Tensor, batch: TaskBatch) -> tuple[Tensor, Tensor]:
    """Unnormalised log-probabilities of the right and of the wrong choice, each [B], from logits [B, V].

    A choice that is one token has its logit; `ANYTHING_ELSE` has the log-sum-exp of every token but the other choice.
    """

    def choice(token: Tensor, other: Tensor) -> Tensor:
        one = logits.gather(1, token.clamp(min=0)[:, None]).squeeze(1)
        anything = token == ANYTHING_ELSE
        if not bool(anything.any()):
            return one
        rest = logits.scatter(1, other.clamp(min=0)[:, None], -math.inf).logsumexp(dim=1)
        return torch.where(anything, rest, one)

    return choice(batch.answer, batch.alternative), choice(batch.alternative, batch.answer)


def task_loss(logits: Tensor, batch: TaskBatch) -> Tensor:
    """Loss of each row, [B], in nats, from logits [B, V] float32; its mean is the mean over both sides of each pair.

    -log softmax over {answer, alternative}; where one of them is `ANYTHING_ELSE`, the other token's p against 1 - p
    over the whole vocabulary (docs/definitions.md, Task loss). Chance between two tokens is ln 2.
    """
    right, wrong = choice_logits(logits, batch)
    return F.softplus(wrong - right)


def task_losses(
    reduction: Reduction, batch: TaskBatch, masks: Mapping[str, Tensor], owner: Tensor, *, rows: int
) -> Tensor:
    """Task loss of each row, [B], in nats, under the mask (site -> [R, C]) of the circuit it is given to (owner: [B]).

    rows: most rows in one forward pass. Prompts of like length go together.
    """
    ablation, losses = reduction.ablation(masks), torch.empty(len(batch), device=owner.device)
    for some, part in batch.by_length(rows):
        site, parameters = ablation.on_rows(owner[some]), reduction.parameters
        logits = answer_logits(reduction.model, part, site, parameters=parameters, position_only=True)
        losses = losses.index_copy(0, some, task_loss(logits, part))
    return losses


@torch.no_grad()
def circuit_logits(model: GPT, circuit: Circuit | None, batch: TaskBatch) -> Tensor:
    """Logits after each prompt, [B, V], in float32, with all but the circuit mean-ablated (None: nothing is)."""
    site, parameters = None, None
    if circuit is not None:
        weights = ablate_edges(model, circuit.weights or {}, means_of(model))
        reduction = Reduction(model, circuit.nodes, torch.float32, weights)
        site, parameters = reduction.ablation(circuit.nodes), reduction.parameters
    logits = torch.empty(len(batch), model.config.vocab_size, device=batch.tokens.device)
    with frozen(model, torch.float32):
        for rows, part in batch.by_length(ROWS):
            logits[rows] = answer_logits(model, part, site, parameters=parameters, position_only=True)
    return logits


def unpruned_loss(model: GPT, task: Task, *, split: str = "test", pairs: int = 256, seed: int = 0) -> float:
    """Task loss of the whole model, in nats; a model has a task when this is under the target."""
    batch = task_batch(model, task, split, pairs, seed)
    return float(task_loss(circuit_logits(model, None, batch), batch).mean())


def evaluate(
    model: GPT, task: Task, circuit: Circuit, *, split: str = "test", pairs: int = 256, seed: int = 0
) -> Score:
    """Score `circuit` and the unpruned model on the same `pairs` of a split, by mean ablation in float32.

    A calibration kept in `circuit.info["calibration"]` is applied to the circuit's logits. Raises `UserError` for a
    circuit of another model, a model without node means, or one that yields no finite loss.
    """
    circuit.check(model)
    batch = task_batch(model, task, split, pairs, seed)
    logits = circuit_logits(model, circuit, batch)
    if circuit.info.get("calibration"):
        logits = Calibration.from_dict(circuit.info["calibration"]).apply(logits)
    logits_full = circuit_logits(model, None, batch)
    loss, loss_full = task_loss(logits, batch), task_loss(logits_full, batch)
    if not bool(torch.isfinite(loss).all() and torch.isfinite(loss_full).all()):
        raise UserError(f"the model has no finite loss on task {task.name}: its weights or node means hold NaN")
    by_pair = loss.view(-1, 2).mean(dim=1)  # [pairs]
    return Score(
        loss=float(loss.mean()),
        loss_full=float(loss_full.mean()),
        accuracy=accuracy(logits, batch),
        accuracy_full=accuracy(logits_full, batch),
        loss_error=float(by_pair.std(unbiased=False) / math.sqrt(max(1, len(by_pair) - 1))),
        pairs=len(by_pair),
        split=split,
    )


def accuracy(logits: Tensor, batch: TaskBatch) -> float:
    """Share of rows on which the right choice outweighs the wrong one."""
    right, wrong = choice_logits(logits, batch)
    return float((right > wrong).float().mean())
