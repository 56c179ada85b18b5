"""Our training step and the plain one as functions of tokens, and the shapes at which they are compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.profiler import record_function

from benchmarks.plain_step import PlainStep
from sparsegpt2 import GPT, GPTConfig, OptimizerConfig, SparsityConfig
from sparsegpt2.sparsity.optimizer import make_optimizer, optimizer_step
from sparsegpt2.sparsity.project import project_model_


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model and a batch; the defaults are the reference shape for a CPU."""

    width: int = 256
    """d_model."""
    layers: int = 2
    """n_layer."""
    batch: int = 64
    """Sequences per step."""
    length: int = 128
    """Tokens per sequence."""
    density: float = 0.05
    """Share of nonzero weights; AbsTopK keeps 1/4."""

    @property
    def config(self) -> GPTConfig:
        return GPTConfig(d_model=self.width, n_layer=self.layers, context=self.length)

    @property
    def tokens(self) -> int:
        """Tokens per step."""
        return self.batch * self.length


class OurStep:
    """A training step as the trainer does it, on given tokens."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        torch.manual_seed(0)
        self.model = GPT(shape.config).to(device)
        self.model.compute_dtype = torch.bfloat16
        self.sparsity, self.settings = SparsityConfig(density=shape.density), OptimizerConfig()
        self.optimizer = make_optimizer(self.model, self.settings)
        project_model_(self.model, self.sparsity)

    def __call__(self, tokens: Tensor, targets: Tensor) -> float:
        """tokens, targets [B, T] int64 -> loss in nats."""
        loss = self.model.loss(tokens, targets)
        loss.backward()
        with record_function("part: optimiser"):
            optimizer_step(self.optimizer, self.settings.gradient_rms)
        with record_function("part: projection"):
            project_model_(self.model, self.sparsity)
        return loss.item()


def plain_step(shape: Shape, device: torch.device) -> PlainStep:
    """The plain step for the same shape and initial weights."""
    torch.manual_seed(0)
    return PlainStep(GPT(shape.config).to(device), SparsityConfig(density=shape.density), OptimizerConfig())
