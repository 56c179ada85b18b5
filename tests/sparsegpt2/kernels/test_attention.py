"""Sink attention against a float64 softmax written out."""

from __future__ import annotations

import math

import pytest
import torch

from sparsegpt2.kernels.attention import (
    attention_pattern,
    sink_attention,
    sink_attention_padded,
    sink_attention_reference,
)


def written_out(q, k, v, sink, causal):
    """Every head, row and key by name, in float64."""
    q, k, v, sink = (t.double() for t in (q, k, v, sink))
    out = torch.zeros_like(q)
    rows, heads, length, d = q.shape
    for b in range(rows):
        for h in range(heads):
            for i in range(length):
                keys = range(i + 1) if causal else range(length)
                scores = [float(q[b, h, i] @ k[b, h, j]) / math.sqrt(d) for j in keys]
                total = sum(math.exp(s) for s in scores) + math.exp(float(sink[h]))
                for j, score in zip(keys, scores, strict=True):
                    out[b, h, i] += math.exp(score) / total * v[b, h, j]
    return out


@pytest.fixture
def qkv():
    torch.manual_seed(0)
    return *(torch.randn(2, 3, 5, 4) for _ in range(3)), torch.tensor([-2.0, 0.0, 3.0])


@pytest.mark.parametrize("path", [sink_attention, sink_attention_padded, sink_attention_reference])
@pytest.mark.parametrize("causal", [True, False])
def test_equals_the_softmax_written_out(qkv, path, causal):
    assert (path(*qkv, causal=causal).double() - written_out(*qkv, causal)).abs().max() < 1e-5


@pytest.mark.parametrize("path", [sink_attention, sink_attention_padded])
def test_gradients_equal_the_reference(qkv, path):
    inputs = [t.clone().requires_grad_() for t in qkv]
    upstream = torch.randn(2, 3, 5, 4)
    ours = torch.autograd.grad(path(*inputs, causal=True), inputs, upstream)
    reference = torch.autograd.grad(sink_attention_reference(*inputs, causal=True), inputs, upstream)
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).abs().max() < 1e-5


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("length", [1, 16, 37])
@pytest.mark.parametrize("with_sink", [True, False])
@pytest.mark.parametrize("split", [True, False])
def test_narrow_heads_in_bfloat16(causal, length, with_sink, split):
    """Heads of 16 channels, as views of one tensor or as tensors of their own."""
    torch.manual_seed(0)
    heads, width = 3, 48
    qkv = torch.randn(2, length, 3 * width).to(torch.bfloat16).requires_grad_()
    sink = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True) if with_sink else None
    inputs = [qkv] if sink is None else [qkv, sink]

    def mix(attention):
        parts = [part.unflatten(-1, (heads, 16)).transpose(1, 2) for part in qkv.chunk(3, dim=-1)]
        if split:
            parts = [part.contiguous() for part in parts]
        return attention(*parts, sink, causal=causal).transpose(1, 2).flatten(-2)

    ours, reference = mix(sink_attention), mix(sink_attention_reference)
    assert (ours.float() - reference.float()).abs().max() < 2**-7 * reference.abs().max()
    upstream = torch.randn(2, length, width).to(torch.bfloat16)
    gradients = [torch.autograd.grad(out, inputs, upstream) for out in (ours, reference)]
    for a, b in zip(*gradients, strict=True):
        assert (a.float() - b.float()).abs().max() < 0.02 * b.float().abs().max()


def test_the_sink_takes_its_share(qkv):
    q, k, _v, _ = qkv
    pattern = attention_pattern(q, k, torch.tensor([0.0, 0.0, 50.0]), causal=True)
    # the first row sees one key with score s: weight e^s / (e^s + 1)
    score = (q[:, 0, 0] * k[:, 0, 0]).sum(-1) / 2
    assert torch.allclose(pattern[:, 0, 0, 0], torch.sigmoid(score))
    assert pattern[:, 2].sum() < 1e-10
    assert torch.allclose(attention_pattern(q, k, None, causal=True).sum(-1), torch.ones(2, 3, 5))


def test_without_a_sink_it_is_plain_attention(qkv):
    q, k, v, _ = qkv
    assert torch.allclose(
        sink_attention(q, k, v, None, causal=True),
        sink_attention(q, k, v, torch.full((3,), -1e4), causal=True),
        atol=1e-5,
    )
