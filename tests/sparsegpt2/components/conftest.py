"""A random model of two layers, and the compiled programs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.components import DiscoverConfig
from sparsegpt2.components.problem import Problem
from sparsegpt2.interop.compiled import Compiled, read
from tests.fixtures.models import PlantedTask

HERE = Path(__file__).parent
TRUE_EDGES = {
    "reverse": [
        *("emb→a0.h0.v", "a0.h0→m0", "emb→m0", "emb→m1", "m0→m1", "m1→m2", "m2→a3.h0.q"),
        *("emb→a3.h0.k", "emb→a3.h0.v", "a3.h0→logits"),
    ],
    "frac_prevs": ["emb→m0", "m0→a1.h0.v", "emb→a1.h0.q", "emb→a1.h0.k", "a1.h0→logits"],
    "hist": ["emb→a0.h0.q", "emb→a0.h0.k", "emb→a0.h0.v", "emb→m0", "a0.h0→m0", "m0→logits"],
    "length": ["emb→a0.h0.v", "emb→m0", "a0.h0→m0", "m0→logits"],
    "pair_balance": [
        *("emb→m0", "emb→a1.h0.q", "emb→a1.h0.k", "m0→a1.h0.v", "emb→a1.h1.q", "emb→a1.h1.k", "m0→a1.h1.v"),
        *("a1.h0→m1", "a1.h1→m1", "m1→logits"),
    ],
}
"""Edges whose zero ablation alone changes the output on some input; a test finds them one by one."""


def random_model(**changes: object) -> GPT:
    """Two layers of two heads with every weight random, and biases, sinks and norms switched on."""
    torch.manual_seed(1)
    shape = {"vocab_size": 10, "context": 8, "n_layer": 2, "d_model": 32, "d_head": 16, "d_mlp": 24}
    model = GPT(GPTConfig(**{**shape, "activation_density": 1.0, **changes})).requires_grad_(False)  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.3)
    return model


@pytest.fixture
def make_model():
    return random_model


@pytest.fixture
def task():
    return PlantedTask()


@pytest.fixture
def make_problem(task):
    """A problem on a model, with settings of `DiscoverConfig`."""

    def make(model: GPT, objective: str = "logit_difference", **settings: object) -> Problem:
        return Problem(model, task, DiscoverConfig(**settings), objective)

    return make


@pytest.fixture(scope="session", params=sorted(TRUE_EDGES))
def program(request) -> Compiled:
    return read(HERE / "compiled" / request.param)


@pytest.fixture
def random_component_model() -> GPT:
    return random_model()


@pytest.fixture
def true_edges(program) -> list[str]:
    return TRUE_EDGES[program.name]
