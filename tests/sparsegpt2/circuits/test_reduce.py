"""A reduced model: the same losses and gate gradients as mean ablation in the whole one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.gates import MeanAblation
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.circuits.means import node_means
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.model.sites import node_sites

SMALL: dict[str, Any] = {"vocab_size": 9, "context": 8, "n_layer": 1, "d_model": 8, "d_head": 4, "d_mlp": 12}
PLAIN: dict[str, Any] = {"activation": "relu", "norm": "none", "sink": False, "bigram_table": False}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"n_layer": 2, "norm": "rms", "sink": True, "bigram_table": True, "activation": "gelu"},
    {"n_layer": 2, "norm": "rms", "activation_density": 0.5},
    {"norm": "rms", "activation_density": 0.5, "activation_places": ("mlp.post_act", "attn.resid_delta")},
    {"positions": "concat_learned", "d_pos": 3, "norm": "layer"},
    {"tied_unembedding": True, "norm": "rms"},
    {"bias": False},
]


def noisy_model(options: dict[str, Any]) -> GPT:
    torch.manual_seed(3)
    model = GPT(GPTConfig(**{**SMALL, **PLAIN, "activation_density": 1.0, **options})).requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.4 * torch.randn_like(parameter))
    model.means = node_means(model, torch.randint(9, (40, 6)))
    return model


def random_nodes(model: GPT, share: float, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {site: torch.rand(width, generator=generator) < share for site, width in node_sites(model.config).items()}


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_same_losses_and_gate_gradients_as_in_the_whole_model(
    planted: Any, options: dict[str, Any], share: float
) -> None:
    model, batch = noisy_model(options), planted.task.batch("train", 4, 0)
    live = random_nodes(model, share, 0)
    # three masks inside the live nodes, for rows in any order
    masks = {
        site: torch.stack([mask & random_nodes(model, 0.7, 10 + i)[site] for i in range(3)]).float()
        for site, mask in live.items()
    }
    owner = torch.tensor([2, 0, 1, 1, 0, 2, 2, 0])
    results = []
    for reduced in (False, True):
        leaves = {site: mask.clone().requires_grad_(True) for site, mask in masks.items()}
        if reduced:
            losses = Ablated(model, leaves, live=live).under(leaves, owner=owner).losses(batch, rows=4)
        else:
            losses = task_loss(answer_logits(model, batch, MeanAblation(leaves, model.means or {}, owner)), batch)
        losses.sum().backward()
        gradients = torch.cat([leaves[site].grad * live[site] for site in leaves], dim=1)  # type: ignore[operator]
        results.append((losses.detach(), gradients))
    (expected, expected_gradients), (losses, gradients) = results
    torch.testing.assert_close(losses, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-3, atol=1e-5)


def test_matrices_shrink_to_the_live_channels() -> None:
    model = noisy_model({})
    live = every_node(model)
    live["0.attn.act_in"][2:] = False
    live["0.mlp.act_in"][:3] = False
    live["0.mlp.post_act"][4:] = False
    live["0.mlp.resid_delta"][1:] = False
    parameters = Reduction(model, live, torch.bfloat16, model.means or {}).parameters
    assert parameters["blocks.0.attn.c_attn.weight"].shape == (24, 2)
    assert parameters["blocks.0.mlp.c_fc.weight"].shape == (4, 5)
    assert parameters["blocks.0.mlp.c_proj.weight"].shape == (1, 4)
    assert parameters["blocks.0.attn.c_proj.weight"].shape == (8, 8)
    assert {p.dtype for p in parameters.values()} == {torch.bfloat16}
    competing = noisy_model({"activation_density": 0.5})
    parameters = Reduction(competing, live, torch.float32, competing.means or {}).parameters
    assert parameters["blocks.0.mlp.c_fc.weight"].shape == (12, 5)  # AbsTopK chooses among all neurons
    assert parameters["blocks.0.mlp.c_proj.weight"].shape == (8, 4)


def test_without_biases_nothing_shrinks() -> None:
    model = noisy_model({"bias": False})
    reduction = Reduction(model, random_nodes(model, 0.1, 0), torch.float32, model.means or {})
    assert reduction.channels == {} and reduction.parameters["blocks.0.mlp.c_fc.weight"].shape == (12, 8)
