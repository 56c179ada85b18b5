"""The hard-concrete distribution: masks in [0, 1] that are often exactly 0 or 1 and still have a gradient.

A mask is made from a trained parameter, log alpha, and a random number u, which is uniform between 0 and 1. First, s =
sigmoid((log u - log(1 - u) + log alpha) / temperature). Then s is stretched to the range from low to high, and clamped
to 0 .. 1 (Louizos et al. 2018, "Learning Sparse Neural Networks through L0 Regularization"). The values of low, high
and temperature are those of Bhaskar et al. 2024, "Finding Transformer Circuits with Edge Pruning".

Two methods train such masks: the component method `edge_pruning`, on edges of the component graph, and the pruner
`edge` with `edge_gate=hard_concrete`, on single weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOW, HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3


def sample(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a mask in [0, 1] for each entry of log_alpha, with a gradient. Random numbers are drawn on the CPU."""
    uniform = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    uniform = uniform.to(log_alpha.device, non_blocking=True)  # a training step must not wait for the device
    return stretched(uniform, log_alpha).clamp(0, 1)


def stretched(uniform: Tensor, log_alpha: Tensor) -> Tensor:
    """The variable s after stretching and before clamping, between low and high. uniform: the number u."""
    s = torch.sigmoid((torch.logit(uniform) + log_alpha) / TEMPERATURE)
    return s * (HIGH - LOW) + LOW


def density(x: Tensor, log_alpha: Tensor) -> Tensor:
    """Probability density of the stretched variable at x, for x between low and high.

    Between 0 and 1 this is also the density of the mask. Clamping turns stretched values below 0 into the mask value 0,
    and those above 1 into the mask value 1.
    """
    s = (x - LOW) / (HIGH - LOW)
    at = torch.sigmoid(TEMPERATURE * torch.logit(s) - log_alpha)  # cumulative distribution of s
    return at * (1 - at) * TEMPERATURE / (s * (1 - s)) / (HIGH - LOW)


def expected_l0(log_alpha: Tensor) -> Tensor:
    """The probability that a mask is not 0: sigmoid(log alpha - temperature * log(-low / high))."""
    return torch.sigmoid(log_alpha - TEMPERATURE * math.log(-LOW / HIGH))


def settled(log_alpha: Tensor) -> Tensor:
    """The mask without randomness: clamp(sigmoid(log alpha) * (high - low) + low, 0, 1)."""
    return (torch.sigmoid(log_alpha) * (HIGH - LOW) + LOW).clamp(0, 1)
