"""AdamW on gradients scaled to a root mean square of 1 (paper, section A.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.config import OptimizerConfig
from sparsegpt2.model.gpt import GPT


def make_optimizer(model: GPT, config: OptimizerConfig) -> torch.optim.AdamW:
    """Fused AdamW, with weight decay on matrices only, and not on the bigram table."""
    matrices: list[Tensor] = []
    vectors: list[Tensor] = []
    tables: list[Tensor] = []
    for name, parameter in model.named_parameters():
        (tables if name == "bigram" else matrices if parameter.ndim >= 2 else vectors).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
        {"params": tables, "weight_decay": 0.0, "eps": config.bigram_eps},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


def gradient_rms(gradients: list[Tensor]) -> Tensor:
    """Root mean square over all entries of all gradients: a float32 scalar on their device, without a host sync."""
    norms = torch.stack(torch._foreach_norm(gradients))
    return norms.square().sum().div(sum(gradient.numel() for gradient in gradients)).sqrt()


def scale_gradients_(gradients: list[Tensor], mode: str) -> Tensor:
    """Scale all gradients to a joint RMS of 1 (`normalize`) or at most 1 (`clip`); return the RMS before scaling.

    `off` leaves them unchanged. Gradients that are all zero stay zero.
    """
    rms = gradient_rms(gradients)
    if mode != "off":
        floor = 1.0 if mode == "clip" else torch.finfo(torch.float32).tiny
        torch._foreach_mul_(gradients, rms.clamp(min=floor).reciprocal())
    return rms


def optimizer_step(optimizer: torch.optim.AdamW, mode: str) -> Tensor:
    """Scale the gradients (`scale_gradients_`), step, and delete them. Returns the gradient RMS before scaling."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    rms = scale_gradients_([parameter.grad for parameter in parameters if parameter.grad is not None], mode)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return rms
