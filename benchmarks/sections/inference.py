"""Tokens/s of inference with dense weights and with sparse weights (`GPT.to_sparse`), by density."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.measure import Bench, interleaved, random_tokens, table
from benchmarks.plain_step import plain_kernels
from sparsegpt2 import GPT, GPTConfig, SparsityConfig
from sparsegpt2.sparsity.project import project_model_


def run(bench: Bench) -> list[dict[str, Any]]:
    """A row for each density: tokens/s with dense weights and with the sparse copy, and its number of sparse maps."""
    width, layers = (2048, 8) if bench.cuda else (512, 2)
    config = GPTConfig(d_model=width, n_layer=layers, context=128, activation_density=1)
    tokens, _ = random_tokens(config.vocab_size, 16, 128, bench.device)
    rows = []
    for density in (0.01,) if bench.quick else (0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
        torch.manual_seed(0)
        dense = GPT(config).to(bench.device).eval().requires_grad_(False)
        dense.compute_dtype = torch.bfloat16
        project_model_(dense, SparsityConfig(density=density, min_alive=0))
        sparse = dense.to_sparse(tokens.numel())
        ways = {"dense": partial(plainly, dense, tokens), "sparse": partial(sparse, tokens)}
        with torch.no_grad():
            rates = {name: tokens.numel() / seconds for name, seconds in interleaved(bench, ways).items()}
        chosen = sum(
            getattr(m, "sparse_product", None) is not None for m in sparse.modules() if isinstance(m, nn.Linear)
        )
        rows.append({"density": density} | rates | {"ratio": rates["sparse"] / rates["dense"], "sparse maps": chosen})
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    return rows


def plainly(model: GPT, tokens: torch.Tensor) -> torch.Tensor:
    """Logits computed with dense products."""
    with plain_kernels():
        return model(tokens)
