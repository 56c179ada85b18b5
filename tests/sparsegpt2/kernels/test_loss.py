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


@pytest.mark.parametrize("with_bigram", [True, False])
@pytest.mark.parametrize("threads", [1, 3])
def test_in_bfloat16(monkeypatch, with_bigram, threads):
    """One pass a row, rows in the order of their tokens, of which each occurs many times."""
    torch.manual_seed(0)
    monkeypatch.setattr(loss_module, "CHUNK_ENTRIES", 40 * 13)
    h, weight, bigram = (torch.randn(shape, requires_grad=True) for shape in ((60, 5), (40, 5), (40, 40)))
    tokens, targets = torch.randint(4, (60,)), torch.randint(40, (60,))
    inputs = [h, weight] + [bigram] * with_bigram
    torch.set_num_threads(threads)
    try:
        args = (h.to(torch.bfloat16), weight, bigram if with_bigram else None, tokens, targets)
        ours = next_token_loss(*args)
        with torch.no_grad():
            assert torch.equal(next_token_loss(*args), ours)
    finally:
        torch.set_num_threads(1)
    reference = next_token_loss_reference(h, weight, bigram if with_bigram else None, tokens, targets)
    assert torch.allclose(ours, reference, atol=0.01)
    for a, b in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(reference, inputs), strict=True):
        assert (a - b).abs().max() < 0.02 * b.abs().max()


def test_a_logit_that_is_not_a_number_is_seen():
    h = torch.ones(3, 4, dtype=torch.bfloat16)
    weight = torch.ones(7, 4)
    weight[2, 1] = torch.nan
    tokens = torch.tensor([0, 1, 0])
    assert next_token_loss(h, weight, None, tokens, tokens).isnan()
