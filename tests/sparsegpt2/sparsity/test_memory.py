"""Dropped weights that are remembered: what a step goes on from, when a weight comes back, and resuming with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegpt2 import GPT, GPTConfig, OptimizerConfig, SparsityConfig, UserError
from sparsegpt2.sparsity.memory import REMEMBERED, project_and_remember_, recall_
from sparsegpt2.sparsity.optimizer import make_optimizer
from sparsegpt2.sparsity.project import project_model_, projected_parameters
from train.config import TrainConfig
from train.loop import take_step
from train.state import Progress, load_state, save_state

SMALL = GPTConfig(vocab_size=20, context=8, d_model=16, n_layer=1)


def small(seed: int = 0) -> GPT:
    torch.manual_seed(seed)
    model = GPT(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


@settings(deadline=None, max_examples=20)
@given(memory=st.floats(0.01, 1), density=st.floats(0.2, 0.9), seed=st.integers(0, 5))
def test_the_model_is_what_projection_makes_and_the_rest_is_remembered(memory, density, seed):
    model, plain, config = small(seed), small(seed), SparsityConfig(density=density, min_alive=1, memory=memory)
    optimizer = make_optimizer(model, OptimizerConfig())
    before = [tensor.weight.detach().clone() for tensor in projected_parameters(model)]
    project_and_remember_(model, optimizer, config)
    project_model_(plain, config)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, dict(plain.named_parameters())[name]), name
    projected = [tensor.weight.detach().clone() for tensor in projected_parameters(model)]
    recall_(model, optimizer)
    for was, kept, tensor in zip(before, projected, projected_parameters(model), strict=True):
        assert torch.equal(tensor.weight, torch.where(kept != 0, was, was * memory)), tensor.name


def steps_until_back(memory: float) -> int | None:
    """Steps of size 0.1 until a weight that starts at 0 beats one of 0.35, where only one of them may live."""
    model, config = small(), SparsityConfig(density=1 / 16 + 1e-6, min_alive=0, memory=memory)
    optimizer = make_optimizer(model, OptimizerConfig())
    bias = model.blocks[0].attn.c_proj.bias
    with torch.no_grad():
        bias.zero_()[0] = 0.35
        for step in range(1, 51):
            recall_(model, optimizer)
            bias[1] += 0.1
            project_and_remember_(model, optimizer, config)
            assert bias.count_nonzero() == 1
            if bias[1] != 0:
                return step
    return None


def test_small_steps_add_up_with_a_memory_alone():
    assert steps_until_back(0.0) is None
    assert steps_until_back(0.5) is None  # sums to 0.2 at most
    assert steps_until_back(0.9) == 5  # 0.1 * (1 - 0.9^5) / 0.1 = 0.41
    assert steps_until_back(1.0) == 4


def run(model: GPT, optimizer: torch.optim.AdamW, config: TrainConfig, first: int, last: int) -> None:
    for step in range(first, last):
        tokens = torch.randint(0, 20, (2, 8), generator=torch.Generator().manual_seed(step))
        take_step(model, optimizer, config, step, tokens, tokens)


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_a_resumed_run_remembers(memory, tmp_path: Path):
    config = TrainConfig(
        model=SMALL, sparsity=SparsityConfig(density=0.25, min_alive=1, memory=memory), tokens=20 * 16, batch_size=2
    )
    model = small()
    optimizer = make_optimizer(model, config.optimizer)
    run(model, optimizer, config, 0, 12)
    assert any(REMEMBERED in state for state in optimizer.state.values()) == bool(memory)
    save_state(tmp_path / "last", model, optimizer, Progress(step=12), None, {})
    run(model, optimizer, config, 12, 20)
    other = small(1)
    again = make_optimizer(other, config.optimizer)
    assert load_state(tmp_path / "last", other, again).step == 12
    run(other, again, config, 12, 20)
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    assert model.wte.weight.count_nonzero() == 80


def test_a_dense_phase_remembers_nothing():
    model, config = small(), SparsityConfig(density=0.25, min_alive=1, memory=0.9)
    optimizer = make_optimizer(model, OptimizerConfig())
    project_and_remember_(model, optimizer, config, share=0.0)
    assert not optimizer.state


@pytest.mark.parametrize("memory", [-0.1, 1.1, float("nan")])
def test_impossible_memory(memory):
    with pytest.raises(UserError, match=r"memory (must be a share|needs a finite number)"):
        SparsityConfig(memory=memory)
