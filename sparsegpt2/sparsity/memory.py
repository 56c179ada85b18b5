"""Dropped weights remembered outside the model (`SparsityConfig.memory`; ours, the paper forgets them).

A weight that the projection zeroes starts its next step from 0, so it comes back only if a single step of AdamW, about
the learning rate, lifts it over the smallest survivor. At low densities the smallest survivor is ten times that: what
annealing drops is lost. With a memory m a dropped weight of value w starts from m * w instead, so gradients that agree
over about 1 / (1 - m) steps add up and can bring it in. The forward and the backward pass never see what is
remembered: the model has exactly the density asked for at every step.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.config import SparsityConfig
from sparsegpt2.model.gpt import GPT
from sparsegpt2.sparsity.project import project_model_, projected_parameters
from sparsegpt2.sparsity.schedule import annealed

REMEMBERED = "remembered"
"""Key of a weight's remembered values [its shape] in the optimiser's state, beside its moments."""


@torch.no_grad()
def recall_(model: GPT, optimizer: torch.optim.Optimizer) -> None:
    """Put what is remembered of dropped weights back in their places, for the optimiser's step to go on from."""
    weights, remembered = _remembered(model, optimizer)
    if weights:
        torch._foreach_add_(weights, remembered)


@torch.no_grad()
def project_and_remember_(
    model: GPT, optimizer: torch.optim.Optimizer, config: SparsityConfig, share: float = 1.0
) -> None:
    """`project_model_` after `share` of training; with a memory, keep that share of what it drops for `recall_`."""
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
        torch._foreach_sub_(remembered, weights)  # survivors: exactly 0
        torch._foreach_mul_(remembered, config.memory)


def _remembered(model: GPT, optimizer: torch.optim.Optimizer) -> tuple[list[Tensor], list[Tensor]]:
    """Weights of which something is remembered, and what, in the model's order."""
    weights = [tensor.weight for tensor in projected_parameters(model)]
    weights = [weight for weight in weights if REMEMBERED in optimizer.state.get(weight, {})]
    return weights, [optimizer.state[weight][REMEMBERED] for weight in weights]
