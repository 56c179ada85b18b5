"""Inference with sparse weights gives the dense logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import sparsegpt2.model.gpt as gpt
from sparsegpt2 import GPT, GPTConfig, SparsityConfig
from sparsegpt2.kernels.product import Product, faster_product
from sparsegpt2.model.sites import Record
from sparsegpt2.sparsity import project_model_


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=64, context=20, d_model=64, n_layer=2, activation_density=1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    project_model_(model, SparsityConfig(density=0.1))
    return model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_of_the_sparse_copy(model, dtype, monkeypatch):
    monkeypatch.setattr(gpt, "faster_product", lambda weight, dtype, tokens: Product(weight, dtype))  # all of them
    model.compute_dtype = dtype
    tokens = torch.randint(64, (3, 20))
    with torch.no_grad():
        dense = model(tokens)
        sparse = model.to_sparse()
        record = Record()
        logits = sparse(tokens, site=record)
    assert logits.dtype == dtype and "1.mlp.post_act" in record.values
    assert (logits - dense).abs().max() <= (1e-5 if dtype == torch.float32 else 2**-5) * dense.abs().max()
    assert not any(parameter.requires_grad for parameter in sparse.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("shape", [(48, 80), (7, 5)])
@pytest.mark.parametrize("plain", [True, False])
def test_product_equals_the_dense_one(shape, plain, monkeypatch):
    monkeypatch.setenv("SPARSEGPT2_PLAIN", "1" if plain else "")
    torch.manual_seed(0)
    weight = torch.randn(shape) * (torch.rand(shape) < 0.2)
    x, bias = torch.randn(2, 9, shape[1]), torch.randn(shape[0])
    assert torch.allclose(Product(weight, torch.float32)(x, bias), F.linear(x, weight, bias), atol=1e-5)


def test_dense_weights_stay_dense():
    assert faster_product(torch.randn(64, 64), torch.float32, 100) is None


def test_gradients_still_reach_activations(model):
    sparse = model.to_sparse()
    x = torch.randn(2, 5, 64, requires_grad=True)
    sparse.run(x).sum().backward()
    assert x.grad.abs().sum() > 0
