"""Linear maps, dense and by compressed rows, against torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import sparsegpt2.kernels.linear as module
from sparsegpt2.kernels.dispatch import cpu_kernels
from sparsegpt2.kernels.linear import Compressed, compressed_if_faster, linear


def problem(tokens, inputs, outputs, density):
    torch.manual_seed(0)
    x = torch.randn(3, tokens, inputs).to(torch.bfloat16).requires_grad_()
    weight = torch.randn(outputs, inputs) * (torch.rand(outputs, inputs) < density)
    weight[3] = 0
    return x, weight.requires_grad_(), torch.randn(outputs, requires_grad=True)


@pytest.mark.parametrize("density", [0.004, 0.1, 0.6])
@pytest.mark.parametrize("tokens", [1, 15, 33, 90])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_values_and_gradients(monkeypatch, density, tokens, with_bias, threads):
    monkeypatch.setattr(module, "FEWEST_TOKENS", 1)
    x, weight, bias = problem(tokens, 48, 80, density)
    inputs = [x, weight] + [bias] * with_bias
    torch.set_num_threads(threads)
    try:
        ours = linear(x, weight, bias if with_bias else None)
        upstream = torch.randn(ours.shape).to(torch.bfloat16)
        gradients = torch.autograd.grad(ours, inputs, upstream)
    finally:
        torch.set_num_threads(1)
    exact = F.linear(x.float(), weight.to(torch.bfloat16).float(), bias.bfloat16().float() if with_bias else None)
    assert ours.dtype == torch.bfloat16
    assert (ours.float() - exact).abs().max() <= 2**-8 * exact.abs().max()
    for a, b in zip(gradients, torch.autograd.grad(exact, inputs, upstream.float()), strict=True):
        assert a.dtype != torch.bfloat16 or a.shape == x.shape
        assert (a.float() - b.float()).abs().max() <= 0.01 * b.float().abs().max() + 1e-6


@pytest.mark.parametrize("density", [0.004, 0.1, 0.6])
@pytest.mark.parametrize("tokens", [1, 33, 90])
def test_float32_values_and_gradients_where_weights_do_not_train(monkeypatch, density, tokens):
    monkeypatch.setattr(module, "FEWEST_TOKENS", 1)
    used: list[torch.dtype] = []
    of = Compressed.of.__func__
    monkeypatch.setattr(Compressed, "of", classmethod(lambda cls, *given: used.append(given[3]) or of(cls, *given)))
    x, weight, bias = (part.detach().float() for part in problem(tokens, 48, 80, density))
    x.requires_grad_()
    ours, exact = linear(x, weight, bias), F.linear(x, weight, bias)
    assert used == ([torch.float32] if density < 0.5 else [])
    assert torch.allclose(ours, exact, atol=1e-5)
    upstream = torch.randn(exact.shape)
    for a, b in zip(*(torch.autograd.grad(out, x, upstream) for out in (ours, exact)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    used.clear()
    linear(x, weight.requires_grad_(), bias)  # a weight that trains has a gradient of every entry, in float32
    assert not used


def test_which_weights_are_compressed():
    kernels = cpu_kernels(torch.empty(0))
    _, sparse, _ = problem(1, 48, 80, 0.01)
    _, dense, _ = problem(1, 48, 80, 0.9)
    assert compressed_if_faster(sparse, 300, kernels) is not None
    assert compressed_if_faster(sparse, 10, kernels) is None  # too few tokens to pay for it
    assert compressed_if_faster(dense, 300, kernels) is None
    assert compressed_if_faster(sparse[:, :40], 300, kernels) is None  # not in groups of 16
    assert compressed_if_faster(sparse[:0], 300, kernels) is None  # nothing is left of a reduced model's map


def test_compressed_rows_are_those_of_the_matrix():
    kernels = cpu_kernels(torch.empty(0))
    weight = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, -3.0]])
    rows = Compressed.of(weight, 3, kernels)
    assert (rows.begins.tolist(), rows.columns.tolist(), rows.values.tolist()) == ([0, 1, 1, 3], [1, 0, 2], [2, 1, -3])
    turned = rows.transposed(kernels)
    assert turned.shape == (3, 3)
    assert (turned.begins.tolist(), turned.columns.tolist(), turned.values.tolist()) == (
        [0, 1, 2, 3],
        [2, 0, 2],
        [1, 2, -3],
    )


@pytest.mark.parametrize("tokens", [1, 55, 300])
@pytest.mark.parametrize("threads", [1, 2])
def test_weight_gradients_that_skip_zeros(monkeypatch, tokens, threads):
    if not module.skips_zeros():
        pytest.skip("needs avx512_bf16")
    monkeypatch.setattr(module, "FEWEST_TOKENS", 1)
    torch.manual_seed(0)
    gradient = (torch.randn(tokens, 48) * (torch.rand(tokens, 48) < 0.2)).to(torch.bfloat16)
    x = torch.randn(tokens, 512).to(torch.bfloat16)
    torch.set_num_threads(threads)
    try:
        ours = module._weight_gradient(gradient, x, cpu_kernels(x))
    finally:
        torch.set_num_threads(1)
    assert torch.allclose(ours, gradient.float().T @ x.float(), atol=1e-4)
