"""A plain training step, as in the published training script: the baseline for our step, with the same mathematics.

It uses `torch.topk` on whole tensors for the projection and on rows for AbsTopK, boolean masks, attention with an
additive [T, T + 1] mask that contains the sink, float32 logits, and autocast for low precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import Tensor

import sparsegpt2.model.gpt as gpt
from sparsegpt2 import GPT, OptimizerConfig, SparsityConfig
from sparsegpt2.sparsity.project import projected_parameters


def plain_abs_topk(x: Tensor, k: int) -> Tensor:
    """AbsTopK by `torch.topk` and a scattered boolean mask."""
    kept = torch.zeros_like(x, dtype=torch.bool).scatter_(-1, x.abs().topk(k, dim=-1).indices, True)
    return torch.where(kept, x, torch.zeros_like(x))


def plain_attention(
    q: Tensor, k: Tensor, v: Tensor, sink: Tensor | None, *, causal: bool, position: None = None
) -> Tensor:
    """Scaled dot-product attention with an extra zero key for the sink, whose logit is in an explicit additive mask."""
    rows, heads, length, d = q.shape
    mask = torch.full((length, length + 1), -math.inf, device=q.device).triu(2) if causal else q.new_zeros(1)
    mask = mask.repeat(heads, 1, 1)
    mask[:, :, 0] = 0
    if sink is not None:
        mask = torch.cat([sink[:, None, None].expand(-1, length, 1), mask[:, :, 1:]], dim=2)
    zero = q.new_zeros(rows, heads, 1, d)
    k, v = torch.cat([zero, k], dim=2), torch.cat([zero, v], dim=2)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[None].to(q.dtype))


def plain_project(model: GPT, density: float, min_alive: int) -> None:
    """Keep the k largest entries of every tensor by `torch.topk`."""
    for tensor in projected_parameters(model):
        weight = tensor.weight.data
        size = weight.abs()
        if tensor.neuron_dim is not None and min_alive:
            reserved = size.topk(min_alive, dim=1 - tensor.neuron_dim).indices
            size = size.scatter(1 - tensor.neuron_dim, reserved, math.inf)
        kept = size.flatten().topk(math.floor(density * weight.numel())).indices
        mask = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device).scatter_(0, kept, True)
        weight *= mask.view_as(weight)


def plain_norm(x: Tensor, weight: Tensor, eps: float, keep: int | None, dtype: torch.dtype) -> Tensor:
    """RMSNorm, then AbsTopK."""
    normed = F.rms_norm(x, weight.shape, weight, eps).to(dtype)
    return normed if keep is None else plain_abs_topk(normed, keep)


def plain_activation(h: Tensor, kind: str, keep: int | None) -> Tensor:
    """GELU, then AbsTopK."""
    return F.gelu(h) if keep is None else plain_abs_topk(F.gelu(h), keep)


def plain_add(x: Tensor, delta: Tensor, keep: int | None) -> Tensor:
    """AbsTopK of `delta`, then the residual sum."""
    return x + (delta if keep is None else plain_abs_topk(delta, keep))


def plain_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A linear map whose weights are cast to the dtype of x, as autocast does."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


PLAIN = {
    "abs_topk": plain_abs_topk,
    "sink_attention": plain_attention,
    "norm_topk": plain_norm,
    "activation_topk": plain_activation,
    "add_topk": plain_add,
    "kernels": SimpleNamespace(linear=plain_linear),
}


@contextmanager
def plain_kernels() -> Iterator[None]:
    """Context in which the model's forward uses the plain functions."""
    ours = {name: getattr(gpt, name) for name in PLAIN}
    for name, function in PLAIN.items():
        setattr(gpt, name, function)
    try:
        yield
    finally:
        for name, function in ours.items():
            setattr(gpt, name, function)


class PlainStep:
    """A plain training step of a model."""

    def __init__(self, model: GPT, sparsity: SparsityConfig, optimizer: OptimizerConfig) -> None:
        self.model, self.sparsity = model, sparsity
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=optimizer.lr, betas=optimizer.betas, eps=optimizer.eps
        )

    def __call__(self, tokens: Tensor, targets: Tensor) -> float:
        """tokens, targets [B, T] int64 -> loss in nats."""
        device = tokens.device.type
        with plain_kernels(), torch.autocast(device, dtype=torch.bfloat16):
            self.model.compute_dtype = torch.bfloat16
            logits = self.model(tokens)
            loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        self.optimizer.zero_grad()
        loss.backward()
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        rms = math.sqrt(sum(g.square().sum().item() for g in gradients) / sum(g.numel() for g in gradients))
        for gradient in gradients:
            gradient /= rms
        self.optimizer.step()
        with torch.no_grad():
            plain_project(self.model, self.sparsity.density, self.sparsity.min_alive)
        return loss.item()
