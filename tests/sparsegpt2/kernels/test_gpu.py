"""Triton kernels against the plain definitions: on a CUDA device, or through Triton's interpreter on the CPU.

Triton reads TRITON_INTERPRET when it is imported, and interpreted kernels would replace the CPU's fast paths, so the
interpreted run is a process of its own.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, SparsityConfig
from sparsegpt2.kernels.abs_topk import abs_topk, abs_topk_mask
from sparsegpt2.kernels.attention import sink_attention, sink_attention_reference
from sparsegpt2.kernels.select import keep_largest_all_, largest_mask
from sparsegpt2.sparsity import project_model_


def on_gpu(test):
    """Mark a test that needs a CUDA device, and skip it where there is none."""
    return pytest.mark.gpu(pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")(test))


def check_abs_topk(device):
    for dtype in (torch.bfloat16, torch.float32):
        for width, k in ((40, 10), (7, 3), (256, 64)):
            x = (4 * torch.randn(5, width, device=device)).round().to(dtype).requires_grad_()  # many ties
            kept = abs_topk_mask(x, k)
            out = abs_topk(x, k)
            upstream = torch.randn_like(out)
            out.backward(upstream)
            assert torch.equal(out, x * kept)
            assert torch.equal(x.grad, upstream * kept)


def check_projection(device):
    weights = [(3 * torch.randn(3, 1500, device=device)).round(), torch.randn(90, 77, device=device),
               torch.randn(77, 90, device=device), torch.randn(50, device=device)]  # fmt: skip
    keep, reserve = [1400, 500, 480, 7], [None, (4, 0), (4, 1), None]
    masks = [largest_mask(w, k, *(alive or (0, 0))) for w, k, alive in zip(weights, keep, reserve, strict=True)]
    ours = [weight.clone() for weight in weights]
    for _ in range(2):  # the second time the tensors are known, and nothing changes
        keep_largest_all_(ours, keep, reserve)
        for found, weight, mask in zip(ours, weights, masks, strict=True):
            assert torch.equal(found, weight * mask)


@on_gpu
@pytest.mark.parametrize("check", [check_abs_topk, check_projection])
def test_on_the_device(check):
    torch.manual_seed(0)
    check("cuda")


@on_gpu
def test_attention_on_the_device():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 4, 50, 16, device="cuda").requires_grad_() for _ in range(3))
    sink = torch.randn(4, device="cuda").requires_grad_()
    inputs, upstream = (q, k, v, sink), torch.randn(2, 4, 50, 16, device="cuda")
    ours, reference = (path(*inputs, causal=True) for path in (sink_attention, sink_attention_reference))
    assert torch.allclose(ours, reference, atol=1e-4)
    for a, b in zip(torch.autograd.grad(ours, inputs, upstream), torch.autograd.grad(reference, inputs, upstream),
                    strict=True):  # fmt: skip
        assert torch.allclose(a, b, atol=1e-3)


@on_gpu
def test_a_step_does_not_wait_for_the_device():
    model = GPT(GPTConfig(vocab_size=64, context=16, d_model=64, n_layer=1)).cuda()
    model.compute_dtype = torch.bfloat16
    tokens = torch.randint(64, (2, 16), device="cuda")
    for mode in ("default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            model.loss(tokens, tokens).backward()
            project_model_(model, SparsityConfig(density=0.25))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
@pytest.mark.parametrize("check", ["check_abs_topk", "check_projection"])
def test_interpreted(check):
    code = f"import runpy; runpy.run_path({__file__!r})[{check!r}]('cpu')"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"TRITON_INTERPRET": "1"})
