"""Agreement: does the circuit give the model's answers, including the wrong ones?

The check compares the output distributions of the whole model and the circuit on the test prompts. It measures
KL(model || circuit) over the two answers (right and wrong choice, renormalised) and over the vocabulary; the share of
prompts on which both make the same choice; and the share on which both have the same most likely token (exact match).
The pruner only considers the choice between the two answers, so a circuit was never optimised for KL over the
vocabulary or for exact match. The share of prompts with the same choice decides; the other numbers are only shown.

Shapes: B rows (two per pair).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits.losses import choice_logits
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_least, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """Measure KL in nats, and the shares of prompts with the same choice and with the same most likely token."""
    model, circuit = case.full_logits, case.circuit_logits
    choices = [torch.stack(choice_logits(logits, case.batch), dim=1) for logits in (model, circuit)]  # each [B, 2]
    same_choice = (choices[0].argmax(1) == choices[1].argmax(1)).double()
    numbers = {
        "same choice": mean_over_pairs(same_choice),
        "exact match": mean_over_pairs((model.argmax(1) == circuit.argmax(1)).double()),
        "KL over answers": mean_over_pairs(kl(*choices)),
        "KL over vocabulary": mean_over_pairs(kl(model, circuit)),
    }
    progress(1, 1, "agreement")
    bar = case.config.agreement
    return Finding(
        verdict=at_least(numbers["same choice"], bar),
        says=f"circuit and model make the same choice on {100 * numbers['same choice'].value:.1f}% of the prompts (the "
        f"bar is {100 * bar:.0f}%) and have the same most likely token on {100 * numbers['exact match'].value:.1f}%",
        numbers=numbers,
        details={"bar": bar},
    )


def kl(model: Tensor, circuit: Tensor) -> Tensor:
    """KL(softmax(model) || softmax(circuit)) of each row in nats, [B], from logits [B, K] over K tokens or choices."""
    reference, other = F.log_softmax(model.double(), dim=1), F.log_softmax(circuit.double(), dim=1)
    return (reference.exp() * (reference - other)).sum(dim=1)


CHECK = Check(asks="Does the circuit make the same choices as the model?", run=run)
