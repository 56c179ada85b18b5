"""RMSNorm, activation and residual sum fused with AbsTopK, against their compositions in plain torch."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2.kernels.fused import ACTIVATIONS, activation_topk, add_topk, norm_topk

WIDTHS = [(40, 10), (64, None), (256, 64)]


def both_ways(function, *inputs, monkeypatch):
    """(result, gradients) of the fast path and of the plain one, for the same upstream gradient."""
    found = []
    for plain in (False, True):
        monkeypatch.setenv("SPARSEGPT2_PLAIN", "1" if plain else "")
        leaves = [x.clone().requires_grad_() for x in inputs]
        out = function(*leaves)
        upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
        found.append((out.detach(), torch.autograd.grad(out, leaves, upstream)))
    return found


def close(a, b):
    """Equal but for a unit in bfloat16's last place in a few entries: the two may round a middle the other way."""
    assert a.dtype == b.dtype
    a, b = a.float(), b.float()
    assert (a - b).abs().max() <= 2**-7 * b.abs().max()
    assert ((a - b).abs() <= 2**-7 * b.abs() + 1e-6).float().mean() > 0.99


@pytest.mark.parametrize(("width", "keep"), WIDTHS)
def test_norm(width, keep, monkeypatch):
    torch.manual_seed(0)
    x, weight = 3 * torch.randn(7, 5, width), 1 + 0.1 * torch.randn(width)
    (out, grads), (expected, expected_grads) = both_ways(
        lambda x, weight: norm_topk(x, weight, 1e-6, keep, torch.bfloat16), x, weight, monkeypatch=monkeypatch
    )
    close(out, expected)
    assert ((out != 0).sum(-1) == (keep or width)).all()
    for gradient, other in zip(grads, expected_grads, strict=True):
        close(gradient, other)


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize(("width", "keep"), WIDTHS)
def test_activation(kind, width, keep, monkeypatch):
    h = torch.cat([torch.linspace(-8, 8, 7 * width), torch.zeros(width)]).view(8, width).to(torch.bfloat16)
    (out, (gradient,)), (expected, (expected_gradient,)) = both_ways(
        lambda h: activation_topk(h, kind, keep), h, monkeypatch=monkeypatch
    )
    close(out, expected)
    close(gradient, expected_gradient)


@pytest.mark.parametrize(("width", "keep"), WIDTHS)
def test_residual_sum(width, keep, monkeypatch):
    x, delta = torch.randn(6, width), torch.randn(6, width).to(torch.bfloat16)
    delta[0] = 0
    (out, grads), (expected, expected_grads) = both_ways(
        lambda x, delta: add_topk(x, delta, keep), x, delta, monkeypatch=monkeypatch
    )
    assert torch.equal(out, expected)
    assert torch.equal(grads[0], expected_grads[0])
    assert torch.equal(grads[1], expected_grads[1])  # also in the row of zeros, where some are kept


def test_what_is_not_a_number_stays_so():
    x = torch.ones(2, 40)
    x[1, 3] = torch.nan
    assert norm_topk(x, torch.ones(40), 1e-6, None, torch.bfloat16)[1].isnan().all()
    h = x.to(torch.bfloat16)
    assert activation_topk(h, "gelu", None).isnan().sum() == 1


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads):
    x, weight = torch.randn(700, 64, requires_grad=True), torch.ones(64, requires_grad=True)
    found = []
    for count in (1, threads):
        torch.set_num_threads(count)
        try:
            out = norm_topk(x, weight, 1e-6, 16, torch.bfloat16)
            found.append((out.detach(), *torch.autograd.grad(out.float().square().sum(), (x, weight))))
        finally:
            torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
