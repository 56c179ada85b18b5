"""AbsTopK: exactly k, largest magnitudes, ties by lowest index, on every path."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegpt2.kernels.abs_topk import abs_topk, abs_topk_mask


def brute_force(row: list[float], k: int) -> list[bool]:
    order = sorted(range(len(row)), key=lambda i: (-abs(row[i]), i))
    return [i in order[:k] for i in range(len(row))]


rows = st.integers(1, 40).flatmap(
    lambda width: st.lists(st.lists(st.floats(-4, 4, width=16), min_size=width, max_size=width), min_size=1, max_size=4)
)


@settings(deadline=None, max_examples=60)
@given(rows=rows, share=st.floats(0.01, 1), dtype=st.sampled_from([torch.float32, torch.bfloat16]), plain=st.booleans())
def test_keeps_the_k_largest_of_each_row(rows, share, dtype, plain):
    x = torch.tensor(rows).to(dtype)
    k = max(1, int(share * x.shape[1]))
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setenv("SPARSEGPT2_PLAIN", "1")
        x.requires_grad_()
        out = abs_topk(x, k)
        out.backward(torch.full_like(out, 0.5))
        x.requires_grad_(False)
    expected = torch.tensor([brute_force(row, k) for row in x.float().tolist()])
    if k < x.shape[1]:
        assert torch.equal(x.grad, 0.5 * expected.to(dtype))  # also where the kept entry is itself zero
    assert torch.equal(out, torch.where(expected, x, torch.zeros_like(x)))
    assert torch.equal(abs_topk_mask(x, k), expected)


def test_gradient_passes_through_kept_entries_alone():
    x = torch.tensor([[3.0, -1.0, 2.0, 2.0]], requires_grad=True)
    abs_topk(x, 2).backward(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
    assert x.grad.tolist() == [[1.0, 0.0, 100.0, 0.0]]


def test_non_contiguous_input_and_full_width():
    x = torch.randn(3, 5, 8).transpose(0, 1)
    assert torch.equal(abs_topk(x, 3), x * abs_topk_mask(x, 3))
    assert abs_topk(x, 8) is x


def test_torch_keeps_its_number_of_threads():
    """Numba's own OpenMP layer would set it to the number of cores."""
    code = """
import torch
from sparsegpt2.kernels.abs_topk import abs_topk
for threads in (1, 2):
    torch.set_num_threads(threads)
    abs_topk(torch.randn(4, 8), 2)
    assert torch.get_num_threads() == threads, (torch.get_num_threads(), threads)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("plain", ["", "1"])
def test_every_dtype_with_nan_and_infinity(dtype, plain, monkeypatch):
    monkeypatch.setenv("SPARSEGPT2_PLAIN", plain)
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([[1.0, inf, -inf, inf, 2.0], [nan, 3.0, -nan, inf, 0.0], [1.0, -1.0, 1.0, -1.0, 1.0]]).to(dtype)
    x.requires_grad_()
    out = abs_topk(x, 2)
    out.backward(torch.full_like(out, inf))  # a gradient that is not finite stays where it belongs
    expected = torch.tensor([[0.0, inf, -inf, 0.0, 0.0], [nan, 0.0, nan, 0.0, 0.0], [1.0, -1.0, 0.0, 0.0, 0.0]]).to(
        dtype
    )
    assert out.dtype == dtype and torch.equal(out.detach().nan_to_num(7), expected.nan_to_num(7))
    assert torch.equal(x.grad, torch.where(expected != 0, inf, 0.0).to(dtype))
    assert abs_topk(x[:0], 2).shape == (0, 5)
    with pytest.raises(ValueError, match="at least 1"):
        abs_topk(x, 0)
