"""The hard-concrete distribution: masks in [0, 1] that are often exactly 0 or 1 and still have a gradient.

u uniform, s = sigmoid((log u - log(1 - u) + log alpha) / temperature), stretched to low .. high and clamped to 0 .. 1
(Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization"; the settings of Edge Pruning).
Two methods train such masks: Edge Pruning on components, and the edge pruner on single weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOW, HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3


def sample(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """A mask for each entry of log_alpha, in [0, 1], differentiable in log_alpha; drawn on the CPU."""
    uniform = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    uniform = uniform.to(log_alpha.device, non_blocking=True)  # a training step must not wait for the device
    return stretched(uniform, log_alpha).clamp(0, 1)


def stretched(uniform: Tensor, log_alpha: Tensor) -> Tensor:
    """The stretched variable, in low .. high, before clamping; it increases with `uniform` (0 to 1)."""
    s = torch.sigmoid((torch.logit(uniform) + log_alpha) / TEMPERATURE)
    return s * (HIGH - LOW) + LOW


def density(x: Tensor, log_alpha: Tensor) -> Tensor:
    """Probability density of the stretched variable at x, inside low .. high.

    The mask has this density inside 0 .. 1; the probability outside is concentrated at 0 and at 1.
    """
    s = (x - LOW) / (HIGH - LOW)
    at = torch.sigmoid(TEMPERATURE * torch.logit(s) - log_alpha)  # cumulative distribution of s
    return at * (1 - at) * TEMPERATURE / (s * (1 - s)) / (HIGH - LOW)


def expected_l0(log_alpha: Tensor) -> Tensor:
    """Probability that the mask is not 0: sigmoid(log alpha - temperature * log(-low / high))."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOW / HIGH))


def settled(log_alpha: Tensor) -> Tensor:
    """The mask without noise: clamp(sigmoid(log alpha) * (high - low) + low, 0, 1)."""
    return (torch.sigmoid(log_alpha) * (HIGH - LOW) + LOW).clamp(0, 1)
