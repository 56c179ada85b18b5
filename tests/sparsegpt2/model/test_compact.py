"""The compact layout: exact round trips of any pattern of zeros, small files, one sentence for each kind of damage."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from sparsegpt2 import GPT, GPTConfig, SparsityConfig, UserError, load_model, save_model
from sparsegpt2.model.compact import LAYOUT, encode
from sparsegpt2.model.sites import node_sites
from sparsegpt2.model.tensors import read_tensors
from sparsegpt2.sparsity.project import project_model_

CONFIG = GPTConfig(vocab_size=300, context=12, n_layer=1, d_model=32)
WEIGHTS = "model.safetensors"
ENTRIES, ROWS = "blocks.0.mlp.c_fc.weight", "bigram"


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = GPT(CONFIG)
    project_model_(model, SparsityConfig(density=0.1, min_alive=1))
    with torch.no_grad():
        model.bigram[::3] = torch.randn(100, 300)
    model.means = {name: torch.randn(width) for name, width in node_sites(CONFIG).items()}
    save_model(model, tmp_path / "plain")
    save_model(model, tmp_path / "compact", info={"seed": 1}, compact=True)
    return model, tmp_path


def forms(path):
    with safe_open(path / WEIGHTS, "pt") as file:
        return json.loads(file.metadata()["tensors"])


def test_a_model_is_read_back_exactly_from_a_smaller_file(saved):
    model, folder = saved
    again = load_model(folder / "compact")
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert a.dtype == b.dtype and torch.equal(a, b), name
    assert all(torch.equal(model.means[name], again.means[name]) for name in model.means)
    assert (folder / "compact" / WEIGHTS).stat().st_size < 0.4 * (folder / "plain" / WEIGHTS).stat().st_size
    found = forms(folder / "compact")
    assert found[ENTRIES]["form"] == "entries" and found[ROWS]["form"] == "rows"
    assert found["blocks.0.mlp.norm.weight"] == {"form": "dense", "shape": [32]}


@settings(max_examples=60, deadline=None)
@given(
    shape=st.one_of(st.tuples(st.integers(1, 400)), st.tuples(st.integers(1, 12), st.integers(1, 400))),
    density=st.sampled_from([0, 0.01, 0.1, 0.5, 1]),
    by_row=st.booleans(),
    rounded=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_any_pattern_of_zeros_comes_back(shape, density, by_row, rounded, seed):
    generator = torch.Generator().manual_seed(seed)
    tensor = torch.randn(*shape, generator=generator)
    tensor = tensor.bfloat16().float() if rounded else tensor
    present = torch.rand(shape[:1] if by_row else shape, generator=generator) < density
    tensor = tensor * (present.view(-1, *[1] * (len(shape) - 1)) if by_row else present)
    stored, metadata = encode({"t": tensor})
    with tempfile.TemporaryDirectory() as folder:
        save_file(stored, Path(folder) / WEIGHTS, metadata)
        assert torch.equal(read_tensors(Path(folder) / WEIGHTS)["t"].to(tensor.dtype), tensor)
    values = sum(part.numel() * part.element_size() for part in stored.values())
    assert values <= tensor.numel() * (2 if rounded else 4)
    if rounded:
        assert all(part.dtype == torch.bfloat16 for part in stored.values() if part.is_floating_point())


def test_indices_take_the_smallest_type():
    thin = torch.eye(300).repeat(1, 300)  # one in 300 entries
    assert encode({"t": thin})[0]["t.columns"].dtype == torch.uint32
    assert encode({"t": thin[:, :600]})[0]["t.columns"].dtype == torch.uint16
    assert encode({"t": thin[:, :256]})[0]["t.columns"].dtype == torch.uint8


def test_a_tied_model_stays_tied(tmp_path):
    save_model(GPT(GPTConfig(vocab_size=30, context=8, d_model=16, tied_unembedding=True)), tmp_path, compact=True)
    model = load_model(tmp_path)
    assert model.unembed.weight is model.wte.weight


def edit(path, change, metadata=None):
    """Save the file again with `change` made to its tensors, and its metadata or others."""
    with safe_open(path / WEIGHTS, "pt") as file:
        kept = metadata or file.metadata()
    tensors = load_file(path / WEIGHTS)
    change(tensors)
    save_file(tensors, path / WEIGHTS, kept)


def put(name, place, value):
    def change(tensors):
        wide = tensors[name].to(torch.int64)
        wide[place] = value
        tensors[name] = wide

    return change


def twice(tensors):
    """The first row that has two entries gets the first one's column twice."""
    counts, columns = (tensors[f"{ENTRIES}.{part}"].to(torch.int64) for part in ("counts", "columns"))
    first = int(counts[: int((counts > 1).nonzero()[0])].sum())
    columns[first + 1] = columns[first]
    tensors[f"{ENTRIES}.columns"] = columns


def backwards(tensors):
    tensors[f"{ROWS}.rows"] = tensors[f"{ROWS}.rows"].to(torch.int64).flip(0)


def listing(path, change):
    entries = forms(path)
    change(entries)
    edit(path, lambda _: None, {"layout": LAYOUT, "tensors": json.dumps(entries)})


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda p: (p / WEIGHTS).write_bytes((p / WEIGHTS).read_bytes()[:-9]), "damaged or truncated"),
        (lambda p: edit(p, lambda t: t.pop(f"{ENTRIES}.columns")), f"lacks '{ENTRIES}.columns'"),
        (lambda p: edit(p, lambda t: t.update(extra=torch.ones(1))), "unexpected tensor 'extra'"),
        (lambda p: edit(p, put(f"{ENTRIES}.columns", 0, 32)), "column index 32, which must be 0 or more and below 32"),
        (lambda p: edit(p, put(f"{ENTRIES}.columns", 0, -1)), "column index -1"),
        (lambda p: edit(p, put(f"{ROWS}.rows", -1, 300)), "row index 300, which must be 0 or more and below 300"),
        (lambda p: edit(p, twice), "has one entry twice"),
        (lambda p: edit(p, put(f"{ROWS}.rows", 1, 0)), "has one row twice"),
        (lambda p: edit(p, backwards), "out of order"),
        (lambda p: edit(p, put(f"{ENTRIES}.counts", 0, 30)), "its counts add up to"),
        (lambda p: edit(p, lambda t: t.update({f"{ENTRIES}.counts": torch.zeros(3).int()})), "3 counts for 128 rows"),
        (
            lambda p: edit(p, lambda t: t.update({f"{ENTRIES}.columns": t[f"{ENTRIES}.columns"] * 1.0})),
            "each column index must be a whole number",
        ),
        (lambda p: edit(p, lambda t: t.update({f"{ROWS}.values": torch.zeros(2, 2)})), r"values of shape \[2, 2\]"),
        (lambda p: edit(p, lambda t: None, {"layout": "sparsegpt2 compact 9"}), "layout 'sparsegpt2 compact 9'"),
        (lambda p: edit(p, lambda t: None, {"layout": LAYOUT, "tensors": "{"}), "no readable list"),
        (lambda p: listing(p, lambda e: e[ENTRIES].update(form="runs")), "unknown form 'runs'"),
        (lambda p: listing(p, lambda e: e[ENTRIES].update(shape=[1, 2, 3])), "only matrices and vectors"),
        (lambda p: listing(p, lambda e: e[ENTRIES].update(shape=[128, 64])), r"shape \[128, 64\].*\[128, 32\]"),
    ],
)
def test_a_damaged_file_is_one_sentence(saved, damage, sentence):
    path = saved[1] / "compact"
    damage(path)
    with pytest.raises(UserError, match=sentence) as error:
        load_model(path)
    assert "\n" not in str(error.value) and WEIGHTS in str(error.value)
