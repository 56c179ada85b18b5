"""Projection against brute force: exact k, ties, min-alive, bias vectors, infeasible settings."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegpt2 import GPT, GPTConfig, SparsityConfig, UserError
from sparsegpt2.kernels.dispatch import cpu_kernels
from sparsegpt2.kernels.select import keep_largest_, keep_largest_all_, largest_mask
from sparsegpt2.sparsity.project import check_feasible, project_, project_model_, projected_parameters


def brute_force(weight, k, min_alive, neuron_dim):
    """The definition over Python lists: reserve each neuron's largest, fill up, ties by lowest index."""
    size = [abs(value) for value in weight.flatten().tolist()]
    rank = lambda indices: sorted(indices, key=lambda i: (-size[i], i))  # noqa: E731
    kept: set[int] = set()
    if min_alive:
        rows, columns = weight.shape
        for n in range(weight.shape[neuron_dim]):
            neuron = (
                [n * columns + c for c in range(columns)] if neuron_dim == 0 else [r * columns + n for r in range(rows)]
            )
            kept.update(rank(neuron)[:min_alive])
    kept.update(rank(set(range(len(size))) - kept)[: k - len(kept)])
    return torch.tensor([i in kept for i in range(len(size))]).view(weight.shape)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_equals_brute_force(data):
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    # few distinct values: ties everywhere
    values = data.draw(
        st.lists(
            st.sampled_from([0.0, 0.5, -0.5, 1.0, -1.0, 3.0, 1e-30]), min_size=rows * columns, max_size=rows * columns
        )
    )
    weight = torch.tensor(values).view(rows, columns)
    neuron_dim = data.draw(st.sampled_from([0, 1]))
    min_alive = data.draw(st.integers(0, weight.shape[1 - neuron_dim]))
    k = data.draw(st.integers(max(1, min_alive * weight.shape[neuron_dim]), rows * columns))
    density = k / weight.numel()
    if math.floor(density * weight.numel()) != k:  # the ratio rounded down: not the k that was meant
        density = math.nextafter(density, 2)
    expected = brute_force(weight, k, min_alive, neuron_dim)
    projected = project_(weight.clone(), min(density, 1.0), min_alive=min_alive, neuron_dim=neuron_dim)
    assert torch.equal(projected, weight * expected)
    assert torch.equal(largest_mask(weight, k, min_alive, neuron_dim), expected)


def test_keeps_exactly_k_of_a_bias_vector():
    bias = torch.tensor([1.0, -3.0, 2.0, -2.0, 2.0])
    assert project_(bias, 0.6).tolist() == [0.0, -3.0, 2.0, -2.0, 0.0]


def test_large_tensor_on_both_paths(monkeypatch):
    torch.manual_seed(0)
    weight = torch.randn(300, 500)
    fast = project_(weight.clone(), 0.014, min_alive=4, neuron_dim=1)
    monkeypatch.setenv("SPARSEGPT2_PLAIN", "1")
    assert torch.equal(fast, project_(weight.clone(), 0.014, min_alive=4, neuron_dim=1))
    assert fast.count_nonzero() == math.floor(0.014 * weight.numel())
    assert fast.count_nonzero(dim=0).min() >= 4


def test_views_of_other_layout_are_projected_too():
    weight = torch.arange(6.0).view(2, 3).t()
    assert project_(weight, 0.5).tolist() == [[0.0, 3.0], [0.0, 4.0], [0.0, 5.0]]


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, float("nan")])
def test_impossible_density(density):
    with pytest.raises(UserError, match="density"):
        project_(torch.ones(2, 2), density)


def test_infeasible_reserve_names_the_numbers():
    with pytest.raises(UserError, match=r"reserves 8 weights in the 4 neurons"):
        project_(torch.ones(4, 5), 0.25, min_alive=2, neuron_dim=0)
    with pytest.raises(UserError, match="exceeds the 4 weights"):
        project_(torch.ones(4, 5), 1.0, min_alive=5, neuron_dim=1)


def test_every_tensor_of_a_model_gets_its_density():
    model = GPT(GPTConfig(vocab_size=50, context=8, d_model=32))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    project_model_(model, SparsityConfig(density=0.25, embedding_density=0.5, bias_density=0.75, min_alive=3))
    kinds = set()
    for tensor in projected_parameters(model):
        share = {"embedding": 0.5, "bias": 0.75, "matrix": 0.25}[tensor.kind]
        assert tensor.weight.count_nonzero() == math.floor(share * tensor.weight.numel()), tensor.name
        if tensor.neuron_dim is not None:
            assert tensor.weight.count_nonzero(dim=1 - tensor.neuron_dim).min() >= 3
        kinds.add(tensor.kind)
    assert kinds == {"embedding", "bias", "matrix"}
    assert model.bigram.count_nonzero() == 2500
    names = {tensor.name for tensor in projected_parameters(model)}
    assert {"wte.weight", "unembed.weight", "blocks.1.attn.c_attn.bias", "blocks.0.mlp.c_proj.weight"} <= names
    assert not any("norm" in name or "sink" in name or "bigram" in name for name in names)


def test_min_alive_counts_what_a_neuron_writes_in_c_proj():
    model = GPT(GPTConfig(vocab_size=20, context=8, d_model=16, n_layer=1))
    dims = {
        tensor.name.split(".", 2)[2]: tensor.neuron_dim
        for tensor in projected_parameters(model)
        if "blocks" in tensor.name
    }
    assert dims["attn.c_attn.weight"] == dims["mlp.c_fc.weight"] == 0
    assert dims["attn.c_proj.weight"] == dims["mlp.c_proj.weight"] == 1


def test_infeasible_model_is_told_before_training():
    model = GPT(GPTConfig(vocab_size=50, context=8, d_model=32))
    with pytest.raises(UserError, match=r"blocks\.0\.attn\.c_attn\.weight"):
        check_feasible(model, SparsityConfig(density=0.05, min_alive=4))
    with pytest.raises(UserError, match="leaves no weight"):
        check_feasible(model, SparsityConfig(density=0.5, bias_density=0.001))


@pytest.mark.parametrize("threads", [1, 2])
def test_tensors_side_by_side_are_projected_as_one_by_one(threads):
    source = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=source) for shape in [(32, 48), (64,), (16, 16), (96, 32)]]
    keep, reserve = [100, 5, 40, 200], [(1, 0), None, (2, 1), None]
    expected = [weight.clone() for weight in weights]
    for weight, k, alive in zip(expected, keep, reserve, strict=True):
        keep_largest_(weight, k, *(alive or (0, 0)))
    torch.set_num_threads(threads)
    try:
        keep_largest_all_(weights, keep, reserve)
    finally:
        torch.set_num_threads(1)
    assert [int(weight.count_nonzero()) for weight in weights] == keep
    assert all(torch.equal(one, other) for one, other in zip(weights, expected, strict=True))


DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
NAMES = [str(dtype).removeprefix("torch.") for dtype in DTYPES]
ODD = [0.0, -0.0, 0.5, -0.5, 3.0, 1e-30, 1e-7, math.inf, -math.inf, math.nan, -math.nan]


def sorted_mask(weight, k):
    """The definition by torch's stable sort, which puts NaN first."""
    order = weight.flatten().abs().sort(descending=True, stable=True).indices[:k]
    return torch.zeros(weight.numel(), dtype=torch.bool).scatter_(0, order, True).view(weight.shape)


@pytest.mark.parametrize("plain", [False, True])
@settings(deadline=None, max_examples=60)
@given(
    data=st.data(), dtype=st.sampled_from(DTYPES), shape=st.sampled_from([(0,), (1,), (7,), (3, 5), (0, 4), (2, 3, 5)])
)
def test_exact_in_every_dtype(plain, data, dtype, shape):
    size = math.prod(shape)
    values = data.draw(st.lists(st.sampled_from(ODD) | st.floats(-9, 9, width=64), min_size=size, max_size=size))
    weight = torch.tensor(values, dtype=torch.float64).to(dtype).view(shape)
    k = data.draw(st.integers(0, size))
    expected = torch.where(sorted_mask(weight, k), weight, 0)
    with pytest.MonkeyPatch.context() as patch:
        if plain:
            patch.setenv("SPARSEGPT2_PLAIN", "1")
        found = weight.clone()
        keep_largest_(found, k)
    assert found.dtype == dtype and torch.equal(found.nan_to_num(77.0), expected.nan_to_num(77.0))
    assert torch.equal(found.isnan(), expected.isnan())


@pytest.mark.parametrize("dtype", DTYPES, ids=NAMES)
def test_project_keeps_exactly_k_in_every_dtype(dtype):
    torch.manual_seed(0)
    weight = torch.randn(37, 53).to(dtype)  # odd sizes: 1,961 entries
    found = project_(weight.clone(), 0.21)
    assert torch.equal(found, torch.where(sorted_mask(weight, 411), weight, 0))
    reserved = project_(weight.clone(), 0.21, min_alive=5, neuron_dim=1)
    assert reserved.count_nonzero() == 411 and reserved.count_nonzero(dim=0).min() >= 5
    assert torch.equal(reserved, weight * brute_force(weight, 411, 5, 1))


def test_nan_of_any_bits_ranks_alike_on_both_paths(monkeypatch):
    bits = [0x7FFFFFFF, 0x7F800001, -1, 0x7FC00000, 0x3F800000, 0x40000000, 0x40400000, 0]  # four NaN, 1, 2, 3, 0
    weight = torch.tensor(bits, dtype=torch.int32).view(torch.float32).view(4, 2)
    for k, kept in ((2, [0, 1]), (5, [0, 1, 2, 3, 6])):
        for plain in ("", "1"):
            monkeypatch.setenv("SPARSEGPT2_PLAIN", plain)
            found = weight.clone()
            keep_largest_(found, k)
            assert found.flatten().ne(0).nonzero()[:, 0].tolist() == kept
    for plain in ("", "1"):
        monkeypatch.setenv("SPARSEGPT2_PLAIN", plain)
        found = weight.clone()
        keep_largest_(found, 4, 1, 0)  # one of each row comes before the other NaN
        assert found.flatten().ne(0).nonzero()[:, 0].tolist() == [0, 2, 5, 6]


@pytest.mark.parametrize(
    "weight", [torch.ones(4, dtype=torch.int64), torch.ones(4, dtype=torch.complex64), torch.eye(3).to_sparse()]
)
def test_other_kinds_of_tensors_are_refused(weight):
    with pytest.raises(TypeError, match="float64") as error:
        project_(weight, 0.5)
    assert isinstance(error.value, UserError) and isinstance(error.value, ValueError)


def test_an_empty_matrix_has_nothing_to_reserve():
    assert project_(torch.zeros(0, 5), 0.5, min_alive=2, neuron_dim=0).shape == (0, 5)
    with pytest.raises(UserError, match="min_alive=2 exceeds the 0 weights"):
        project_(torch.zeros(5, 0), 0.5, min_alive=2, neuron_dim=0)
    with pytest.raises(UserError, match="min_alive must be 0 or more"):
        project_(torch.ones(2, 2), 0.5, min_alive=-1, neuron_dim=0)


@pytest.mark.skipif(cpu_kernels(torch.ones(1)) is None, reason="numba is not installed")
def test_the_fast_path_is_the_one_that_is_tested():
    assert cpu_kernels(torch.ones(1), "select") is not None
