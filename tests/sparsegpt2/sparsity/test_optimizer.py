"""Gradient RMS over all parameters together, and what weight decay touches."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, OptimizerConfig
from sparsegpt2.sparsity.optimizer import make_optimizer, scale_gradients_


@pytest.mark.parametrize(
    ("mode", "size", "expected"),
    [("normalize", 4.0, 1.0), ("normalize", 0.25, 1.0), ("clip", 4.0, 1.0), ("clip", 0.25, 0.25), ("off", 4.0, 4.0)],
)
def test_joint_rms(mode, size, expected):
    gradients = [torch.full((3,), size), torch.full((2, 5), -size)]
    assert scale_gradients_(gradients, mode) == pytest.approx(size)
    assert gradients[0].tolist() == pytest.approx([expected] * 3)
    assert gradients[1].unique().item() == pytest.approx(-expected)


def test_rms_weighs_every_entry_alike():
    gradients = [torch.zeros(3), torch.full((1,), 2.0)]
    assert scale_gradients_(gradients, "normalize") == pytest.approx(1.0)


def test_zero_gradients_stay_zero():
    gradients = [torch.zeros(4)]
    scale_gradients_(gradients, "normalize")
    assert gradients[0].tolist() == [0.0] * 4


def test_decay_is_for_matrices_other_than_the_bigram_table():
    model = GPT(GPTConfig(vocab_size=20, context=8, d_model=16, n_layer=1))
    decayed = {
        id(p)
        for group in make_optimizer(model, OptimizerConfig()).param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    matrices = {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}
    assert names == {"wte.weight", "unembed.weight"} | {f"blocks.0.{name}.weight" for name in matrices}


def test_a_rare_pair_of_tokens_is_learned_as_fast_as_a_common_one():
    model = GPT(GPTConfig(vocab_size=20, context=8, d_model=16, n_layer=1))
    table, weight = model.bigram, model.blocks[0].mlp.c_fc.weight
    before = table.detach().clone(), weight.detach().clone()
    table.grad = torch.zeros_like(table)
    table.grad[3, 4], table.grad[5, 6] = 1e-4, 1.0
    weight.grad = torch.full_like(weight, 1e-4)
    make_optimizer(model, OptimizerConfig(lr=0.01, weight_decay=0.0)).step()
    moved = (table - before[0]).abs()
    assert moved[3, 4].item() == pytest.approx(0.01, rel=1e-2) == moved[5, 6].item()
    assert (weight - before[1]).abs().max().item() == pytest.approx(0.01 * 1e-4 / (0.1 + 1e-4), rel=1e-2)
