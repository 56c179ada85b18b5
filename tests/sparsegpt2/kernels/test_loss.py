"""The chunked loss against cross-entropy of stored logits."""

from __future__ import annotations

import pytest
import torch

import sparsegpt2.kernels.loss as loss_module
from sparsegpt2.kernels.loss import next_token_loss, next_token_loss_reference


@pytest.mark.parametrize("with_bigram", [True, False])
@pytest.mark.parametrize("rows_at_a_time", [1, 3, 100])
def test_value_and_gradients_equal_the_reference(monkeypatch, with_bigram, rows_at_a_time):
    torch.manual_seed(0)
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 11 * rows_at_a_time)
    h, weight, bigram = (torch.randn(shape, requires_grad=True) for shape in ((8, 5), (11, 5), (11, 11)))
    tokens, targets = torch.randint(11, (2, 8))
    inputs = [h, weight] + [bigram] * with_bigram
    args = (h, weight, bigram if with_bigram else None, tokens, targets)
    ours, reference = next_token_loss(*args), next_token_loss_reference(*args)
    assert torch.allclose(ours, reference)
    for a, b in zip(torch.autograd.grad(3 * ours, inputs), torch.autograd.grad(3 * reference, inputs), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(next_token_loss(*args), reference)
