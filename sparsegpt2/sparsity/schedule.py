"""Density and learning rate during training (paper, section A.3). `share` is the share of training done, 0 to 1."""

from __future__ import annotations

import math

from sparsegpt2.config import OptimizerConfig, SparsityConfig


def annealed(target: float, share: float, config: SparsityConfig) -> float:
    """Density after `share` of training, for a tensor whose density ends at `target`.

    It is 1 up to `anneal_start` and `target` from `anneal_end` on. Between them either the density falls linearly with
    the share of training (`linear`), or its logarithm does (`exponential`), or its logarithm falls linearly with the
    logarithm of the share (`power`).
    """
    start, end = config.anneal_start, config.anneal_end
    if share <= start:
        return 1.0
    if share >= end:
        return target
    if config.anneal == "power":
        return target ** (math.log(share / start) / math.log(end / start))
    progress = (share - start) / (end - start)
    return target**progress if config.anneal == "exponential" else 1 + (target - 1) * progress


def density_at(share: float, config: SparsityConfig) -> float:
    """Density of weight matrices after `share` of training."""
    return annealed(config.density, share, config)


def learning_rate_at(share: float, optimizer: OptimizerConfig, sparsity: SparsityConfig) -> float:
    """The paper's "sharkfin": lr * warmup * decay * sqrt(target density / current density).

    The warmup factor rises linearly from 0 to 1 over the first part of training, whose share is `optimizer.warmup`. The
    decay factor is 1 until then, and falls linearly to 0 at the end of training. The square root is 1 when the density
    has reached its target, so from then on the rate is at most `lr`.
    """
    warmup = min(1.0, share / optimizer.warmup) if optimizer.warmup > 0 else 1.0
    decay = min(1.0, (1 - share) / (1 - optimizer.warmup))
    return optimizer.lr * warmup * decay * math.sqrt(sparsity.density / density_at(share, sparsity))
