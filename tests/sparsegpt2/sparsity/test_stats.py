"""L0, dead neurons and kurtosis on models whose answer is known."""

from __future__ import annotations

import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.sparsity.stats import dead_neurons, density_by_tensor, l0, l0_by_tensor, residual_kurtosis

CONFIG = GPTConfig(vocab_size=20, context=8, d_model=16, n_layer=1, n_head=1)


def test_l0_counts_what_is_sparsified():
    model = GPT(CONFIG)
    matrices = 2 * 20 * 16 + 16 * 48 + 16 * 16 + 2 * 16 * 64
    assert l0(model) == matrices  # biases start at zero; norms, sinks and the bigram table do not count
    with torch.no_grad():
        model.wte.weight[:5] = 0
        model.layers[0].mlp.c_fc.bias[0] = 1
    assert l0(model) == matrices - 5 * 16 + 1
    assert l0_by_tensor(model)["wte.weight"] == 15 * 16
    assert density_by_tensor(model)["wte.weight"] == 0.75


def test_dead_neurons():
    model = GPT(CONFIG)
    assert dead_neurons(model) == {"mlp": 0, "attn": 0}
    with torch.no_grad():
        model.layers[0].mlp.c_fc.weight[3] = 0  # reads nothing
        model.layers[0].mlp.c_proj.weight[:, 3] = 0
        model.layers[0].mlp.c_proj.weight[:, 4] = 0  # writes nothing
        model.layers[0].attn.c_attn.weight[2] = 0  # q channel 2: its pair with k channel 2 is dead
        model.layers[0].attn.c_attn.weight[16 + 2] = 0
        model.layers[0].attn.c_attn.weight[16 + 5] = 0  # k channel 5
        model.layers[0].attn.c_proj.weight[:, 7] = 0  # v channel 7 is not read
    assert dead_neurons(model) == {"mlp": 2, "attn": 3}


def test_kurtosis_of_a_one_hot_and_of_a_gaussian_stream():
    tokens = torch.arange(8)[None]
    model = GPT(CONFIG)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.wte.weight[:, 3] = 2.0
    d = 16
    one_hot = ((1 - 1 / d) ** 4 + (d - 1) / d**4) / d / (((1 - 1 / d) ** 2 + (d - 1) / d**2) / d) ** 2
    assert abs(residual_kurtosis(model, [tokens]) - one_hot) < 1e-4
    wide = GPT(GPTConfig(vocab_size=20, context=8, d_model=4096, n_layer=1, n_head=1, d_mlp=4, bigram_table=False))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in wide.parameters():
            parameter.zero_()
        wide.wte.weight.normal_()
    assert abs(residual_kurtosis(wide, [tokens]) - 3) < 0.2
