from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.gates import MeanAblation, frozen, gate, join_nodes, split_nodes
from sparsegpt2.model.sites import node_sites


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.0])
def test_gate_is_a_step_with_the_gradient_of_a_sigmoid(temperature: float) -> None:
    tau = torch.tensor([-1.0, -0.2, -1e-9, 0.0, 0.3, 1.0], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -2.0, 3.0, 4.0, 5.0, -6.0], dtype=torch.float64)
    gates = gate(tau, temperature)
    assert gates.tolist() == [0, 0, 0, 1, 1, 1]
    (gates * weight).sum().backward()
    step = 1e-5
    slope = (torch.sigmoid((tau + step) / temperature) - torch.sigmoid((tau - step) / temperature)) / (2 * step)
    assert tau.grad is not None
    torch.testing.assert_close(tau.grad, (weight * slope).detach(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("runs", [1, 3])
def test_all_kept_is_bit_for_bit_the_unmasked_model(random_model: GPT, dtype: torch.dtype, runs: int) -> None:
    tokens = torch.randint(random_model.config.vocab_size, (6, 8))
    assert random_model.means is not None
    ones = every_node(random_model)
    if runs > 1:
        ones = {site: mask.expand(runs, -1) for site, mask in ones.items()}
    random_model.compute_dtype = dtype
    assert torch.equal(random_model(tokens, site=MeanAblation(ones, random_model.means)), random_model(tokens))


def test_nothing_kept_gives_the_logits_of_the_means_alone(random_model: GPT) -> None:
    tokens, means = torch.randint(random_model.config.vocab_size, (4, 8)), random_model.means
    assert means is not None and random_model.bigram is not None
    nothing = {site: torch.zeros(width) for site, width in node_sites(random_model.config).items()}
    stream = random_model.wte.weight[tokens]
    for layer in range(2):
        stream = stream + means[f"{layer}.attn.resid_delta"] + means[f"{layer}.mlp.resid_delta"]
    normed = stream / (stream.pow(2).mean(-1, keepdim=True) + random_model.config.norm_eps).sqrt()
    expected = F.linear(normed * random_model.norm.weight, random_model.unembed.weight) + random_model.bigram[tokens]
    torch.testing.assert_close(random_model(tokens, site=MeanAblation(nothing, means)), expected)


def test_several_runs_in_one_forward_equal_single_ones(random_model: GPT) -> None:
    tokens, means = torch.randint(random_model.config.vocab_size, (4, 8)), random_model.means
    assert means is not None
    masks = {site: torch.rand(3, width) < 0.6 for site, width in node_sites(random_model.config).items()}
    together = random_model(tokens.repeat(3, 1), site=MeanAblation(masks, means)).unflatten(0, (3, 4))
    for run in range(3):
        alone = random_model(tokens, site=MeanAblation({site: mask[run] for site, mask in masks.items()}, means))
        torch.testing.assert_close(together[run], alone)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_a_fractional_mask_mixes_activation_and_mean() -> None:
    x, mean = torch.randn(2, 3, 4), torch.randn(4)
    mask = torch.tensor([0.0, 0.25, 0.5, 1.0])
    mixed = MeanAblation({"0.attn.q": mask}, {"0.attn.q": mean})("0.attn.q", x)
    torch.testing.assert_close(mixed, mask * x + (1 - mask) * mean)
    assert MeanAblation({}, {})("0.attn.q", x) is x


def test_frozen_gives_the_model_back_as_it_was_even_after_an_error(random_model: GPT) -> None:
    random_model.wte.weight.requires_grad_(True)
    random_model.compute_dtype = torch.float64
    with pytest.raises(RuntimeError, match="inside"), frozen(random_model, torch.bfloat16):
        assert random_model.compute_dtype == torch.bfloat16
        assert not any(parameter.requires_grad for parameter in random_model.parameters())
        raise RuntimeError("inside")
    assert random_model.compute_dtype == torch.float64
    assert [name for name, p in random_model.named_parameters() if p.requires_grad] == ["wte.weight"]


def test_splitting_and_joining_nodes_are_inverse(random_model: GPT) -> None:
    sites = node_sites(random_model.config)
    flat = torch.randn(2, sum(sites.values()))
    by_site = split_nodes(flat, sites)
    assert {site: value.shape[-1] for site, value in by_site.items()} == sites
    assert torch.equal(join_nodes(by_site, sites), flat)
