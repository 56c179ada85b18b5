"""How well a circuit does a task: its task loss and accuracy on a split, next to those of the unpruned model.

Shapes: B rows (two per pair), V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.losses import accuracy, task_batch, task_loss
from sparsegpt2.circuits.task import Task, TaskBatch
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT


@dataclass(frozen=True, kw_only=True)
class Score:
    """Scores of a circuit, and of the unpruned model (`..._full`), on the same pairs. Losses are in nats.

    Each score is a mean over both sides of all pairs.
    """

    loss: float
    loss_full: float
    accuracy: float
    """Share of sides on which the right choice has a higher probability than the wrong one."""
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


@torch.no_grad()
def circuit_logits(model: GPT, circuit: Circuit | None, batch: TaskBatch) -> Tensor:
    """Logits after each prompt, [B, V] float32, with everything outside the circuit mean-ablated.

    With None as the circuit nothing is ablated.
    """
    return Ablated(model, circuit).logits(batch)


def unpruned_loss(model: GPT, task: Task, *, split: str = "test", pairs: int = 256, seed: int = 0) -> float:
    """Task loss of the whole model, in nats. A model has a task if this is below the target loss."""
    batch = task_batch(model, task, split, pairs, seed)
    return float(task_loss(circuit_logits(model, None, batch), batch).mean())


def evaluate(
    model: GPT, task: Task, circuit: Circuit, *, split: str = "test", pairs: int = 256, seed: int = 0
) -> Score:
    """Score `circuit` and the unpruned model on the same `pairs` pairs of a split, with mean ablation, in float32.

    The calibration in `circuit.info`, if any, is applied to the circuit's logits. Raises `UserError` for a circuit of
    another model, a model without node means, or a loss that is not finite.
    """
    circuit.check(model)
    batch = task_batch(model, task, split, pairs, seed)
    with torch.no_grad():
        logits = Ablated(model, circuit, calibration=circuit.info.calibration).logits(batch)
        logits_full = Ablated(model).logits(batch)
    loss, loss_full = task_loss(logits, batch), task_loss(logits_full, batch)
    if not bool(torch.isfinite(loss).all() and torch.isfinite(loss_full).all()):
        raise UserError(f"the loss on task {task.name} is not finite: the model's weights or node means contain NaN")
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
