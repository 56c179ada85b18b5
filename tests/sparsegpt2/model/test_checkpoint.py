"""Model directories: exact round trips, strict loading, one sentence for each thing that can be wrong."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.model.sites import node_sites

CONFIG = GPTConfig(vocab_size=30, context=12, n_layer=1, d_model=16, positions="concat_learned", d_pos=4)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = GPT(CONFIG)
    model.means = {name: torch.randn(width) for name, width in node_sites(CONFIG).items()}
    save_model(model, tmp_path / "model", info={"held_out_loss": 1.5})
    return model, tmp_path / "model"


def test_round_trip_is_exact(saved):
    model, path = saved
    again = load_model(path)
    assert again.config == CONFIG
    for (name, a), (_, b) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert all(torch.equal(model.means[name], again.means[name]) for name in model.means)
    assert model_info(path) == {"held_out_loss": 1.5}
    assert not again.training
    assert sorted(p.name for p in path.parent.iterdir()) == ["model"]


def test_saving_again_replaces_the_directory(saved):
    model, path = saved
    model.means = None
    save_model(model, path)
    assert load_model(path).means is None


def test_tied_embeddings_stay_tied(tmp_path):
    save_model(GPT(GPTConfig(vocab_size=30, context=8, d_model=16, tied_unembedding=True)), tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert model.unembed.weight is model.wte.weight


def test_a_run_folder_gives_its_best_model(saved):
    model, path = saved
    save_model(model, path.parent / "run" / "best")
    assert torch.equal(load_model(path.parent / "run").wte.weight, model.wte.weight)


def edit_weights(path, change):
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors")


def edit_config(path, change):
    header = json.loads((path / "config.json").read_text())
    change(header)
    (path / "config.json").write_text(json.dumps(header))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda p: edit_weights(p, lambda t: t.pop("wte.weight")), "lacks the tensor 'wte.weight'"),
        (lambda p: edit_weights(p, lambda t: t.update(extra=torch.ones(1))), "unexpected tensor 'extra'"),
        (
            lambda p: edit_weights(p, lambda t: t.update({"wte.weight": torch.ones(2, 2)})),
            r"shape \[2, 2\].*\[30, 16\]",
        ),
        (lambda p: (p / "model.safetensors").write_bytes((p / "model.safetensors").read_bytes()[:999]), "truncated"),
        (lambda p: (p / "model.safetensors").unlink(), "does not exist"),
        (lambda p: (p / "config.json").write_text('{"format": 1, '), "not valid JSON"),
        (lambda p: edit_config(p, lambda h: h["model"].update(d_modl=3)), "unknown key 'd_modl'"),
        (lambda p: edit_config(p, lambda h: h.update(format=7)), "format 1"),
        (lambda p: (p / "config.json").unlink(), "holds no model"),
    ],
)
def test_a_damaged_model_is_one_sentence(saved, damage, sentence):
    _, path = saved
    damage(path)
    with pytest.raises(UserError, match=sentence):
        load_model(path)


def test_a_missing_model_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_model(tmp_path / "nowhere")
