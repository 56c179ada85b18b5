"""Density and learning rate over training (paper, section A.3). `share` is training done, from 0 to 1."""

from __future__ import annotations

import math

from sparsegpt2.config import OptimizerConfig, SparsityConfig


def annealed(target: float, share: float, config: SparsityConfig) -> float:
    """Density after `share` of training of a tensor that ends at `target`.

    1 up to `anneal_start`, `target` from `anneal_end` on; between them linear in training (`linear`), straight on a
    log-log plot of density against training (`power`), or straight on a log-linear one (`exponential`).
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
    """The "sharkfin": lr * warmup * linear decay to 0 * sqrt(target density / current density).

    Warmup rises linearly from 0 over the first `warmup` of training; decay runs linearly from 1 at its end to 0 at
    the end of training. The square root makes `lr` the rate at the final L0.
    """
    warmup = min(1.0, share / optimizer.warmup) if optimizer.warmup > 0 else 1.0
    decay = min(1.0, (1 - share) / (1 - optimizer.warmup))
    return optimizer.lr * warmup * decay * math.sqrt(sparsity.density / density_at(share, sparsity))
