"""How far a circuit's logits after a prompt are from the full model's, as one number per row.

The number is 0 for the full model itself, except with the objective `task`.

- kl: KL(full || circuit) over the whole vocabulary, in nats (used by Edge Pruning and ACDC);
- logit_difference: the full model's logit difference (right choice minus wrong choice) minus the circuit's (used by
  EAP and path patching);
- task: the task loss itself (circuits.losses.task_loss), in nats;
- squared_error: the sum over the vocabulary of squared differences of logits, for models whose output is a number.

Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.losses import choice_logits, task_loss
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.components.config import OBJECTIVES
from sparsegpt2.errors import UserError

FLAT_AT_FULL = ("kl", "squared_error")
"""Objectives whose gradient is zero at the full model, so that a method cannot rank edges by that gradient."""


def damage(objective: str, logits: Tensor, full: Tensor, batch: TaskBatch) -> Tensor:
    """The objective of each row, [B]; lower is better.

    logits: the circuit's logits; full: the full model's logits; both are [B, V] float32. `UserError` for an unknown
    objective.
    """
    if objective == "kl":
        return F.kl_div(logits.log_softmax(-1), full.log_softmax(-1), reduction="none", log_target=True).sum(-1)
    if objective == "logit_difference":
        return logit_difference(full, batch) - logit_difference(logits, batch)
    if objective == "task":
        return task_loss(logits, batch)
    if objective == "squared_error":
        return (logits - full).square().sum(-1)
    raise UserError(f"objective must be one of {', '.join(OBJECTIVES)}, got {objective!r}")


def logit_difference(logits: Tensor, batch: TaskBatch) -> Tensor:
    """Logit of the right choice minus that of the wrong one, [B]."""
    right, wrong = choice_logits(logits, batch)
    return right - wrong
