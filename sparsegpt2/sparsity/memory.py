"""Dropped weights that are remembered outside the model (`SparsityConfig.memory`). Not in the paper.

A weight that the projection sets to zero starts its next step from 0. So it returns only if a single step of AdamW,
which has about the size of the learning rate, makes it larger than the smallest weight that is kept. At low densities
that weight is ten times as large as a step, so a weight that is dropped while the density falls is lost. If the share m
of its value is remembered (`SparsityConfig.memory`), a dropped weight of value w starts from m * w. Gradients that
agree over about 1 / (1 - m) steps then add up, and can bring the weight back. The forward and backward passes never see
remembered values: the model has exactly the target density at every step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.config import SparsityConfig
from sparsegpt2.model.gpt import GPT
from sparsegpt2.sparsity.project import project_model_, projected_parameters
from sparsegpt2.sparsity.schedule import annealed

REMEMBERED = "remembered"
"""Key of a weight's remembered values (a tensor of its shape) in the optimiser's state, next to its moments."""


@torch.no_grad()
def recall_(model: GPT, optimizer: torch.optim.Optimizer) -> None:
    """Add the remembered values to the dropped weights, so that the optimiser's step starts from them."""
    weights, remembered = _remembered(model, optimizer)
    if weights:
        torch._foreach_add_(weights, remembered)


@torch.no_grad()
def project_and_remember_(
    model: GPT, optimizer: torch.optim.Optimizer, config: SparsityConfig, share: float = 1.0
) -> None:
    """Call `project_model_`, and store w * `config.memory` for each weight w that it drops; `recall_` adds it back.

    share: share of training done.
    """
    if config.memory:
        for tensor in projected_parameters(model):
            dense = annealed(config.density_of(tensor.kind), share, config) == 1
            if not dense and REMEMBERED not in optimizer.state[tensor.weight]:
                optimizer.state[tensor.weight][REMEMBERED] = torch.empty_like(tensor.weight)
    weights, remembered = _remembered(model, optimizer)
    if weights:
        torch._foreach_copy_(remembered, weights)
    project_model_(model, config, share)
    if weights:
        torch._foreach_sub_(remembered, weights)  # exactly 0 for weights that were kept
        torch._foreach_mul_(remembered, config.memory)


def _remembered(model: GPT, optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], list[Tensor]]:
    """(weights, their remembered values), for the weights that have any, in the model's order."""
    weights = [tensor.weight for tensor in projected_parameters(model)]
    weights = [weight for weight in weights if REMEMBERED in optimizer.state.get(weight, {})]
    return weights, [optimizer.state[weight][REMEMBERED] for weight in weights]
