"""Model directories: exact round trips, strict loading, one sentence for each thing that can be wrong."""

from __future__ import annotations

import json
import os
import random
import threading

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
        (lambda p: (p / "config.json").unlink(), "contains no model"),
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


@pytest.mark.parametrize("compact", [False, True])
def test_a_flipped_bit_anywhere_is_told_and_names_its_file(saved, tokenizer, compact):
    model, path = saved
    save_model(model, path, tokenizer=tokenizer, info={"held_out_loss": 1.5}, compact=compact)
    dice = random.Random(0)
    for file in sorted(path.iterdir()):
        whole = file.read_bytes()
        for _ in range(12):
            place, damaged = dice.randrange(len(whole)), bytearray(whole)
            damaged[place] ^= 1 << dice.randrange(8)
            file.write_bytes(damaged)
            with pytest.raises(UserError, match=file.name.replace(".", r"\.")):
                load_model(path)
        file.write_bytes(whole)
    load_model(path)


def test_checks_can_be_left_out_and_older_models_have_none(saved):
    model, path = saved
    edit_weights(path, lambda tensors: tensors["wte.weight"].add_(1))
    with pytest.raises(UserError, match=r"model\.safetensors is damaged: its sha256 is not the one in .*config\.json"):
        load_model(path)
    assert torch.equal(load_model(path, verify=False).wte.weight, model.wte.weight + 1)
    edit_config(path, lambda header: [header.pop(key) for key in ("files", "sha256")])
    assert torch.equal(load_model(path).wte.weight, model.wte.weight + 1)


def test_what_a_config_says_is_sealed(saved):
    _, path = saved
    edit_config(path, lambda header: header["info"].update(held_out_loss=1.0))
    for read in (load_model, model_info):
        with pytest.raises(UserError, match=r"config\.json was changed or damaged"):
            read(path)
    edit_config(path, lambda header: header.pop("sha256"))  # so that nobody mistakes it for an older one
    with pytest.raises(UserError, match=r"config\.json was changed or damaged"):
        model_info(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_and_means_that_are_no_numbers_are_told(saved, value):
    model, path = saved
    site = next(iter(model.means))
    for tensor, name in ((model.wte.weight.data, "wte.weight"), (model.means[site], site)):
        kept = tensor.flatten()[0].item()
        tensor.view(-1)[0] = value
        save_model(model, path)
        with pytest.raises(UserError, match=f"{name} holds NaN or infinite numbers"):
            load_model(path)
        tensor.view(-1)[0] = kept


def test_only_models_are_replaced(saved):
    model, path = saved
    (path / "circuits").mkdir()
    project = path.parent / "project"
    project.mkdir()
    (project / "thesis.txt").write_text("dear to someone")
    theirs = path.parent / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_text('{"model_type": "gpt2"}')
    (theirs / "model.safetensors").write_text("of another format, with the same names")
    for folder in (path, project, theirs, path.parent):
        before = sorted(folder.rglob("*"))
        with pytest.raises(UserError, match="something other than a model"):
            save_model(model, folder)
        assert sorted(folder.rglob("*")) == before
    save_model(model, path.parent / "new" / "one")


def test_modes_follow_the_umask(saved):
    model, path = saved
    earlier = os.umask(0o022)
    try:
        save_model(model, path)
    finally:
        os.umask(earlier)
    assert {file.stat().st_mode & 0o777 for file in path.iterdir()} == {0o644}


def test_a_model_is_read_whole_while_it_is_saved_again(saved):
    model, path = saved
    over = threading.Event()
    failures = []

    def save():
        try:
            for number in range(40):
                model.wte.weight.data.fill_(number)
                save_model(model, path, info={"number": number})
        except BaseException as error:
            failures.append(error)
        over.set()

    thread = threading.Thread(target=save)
    thread.start()
    while not over.is_set():
        assert load_model(path).wte.weight.unique().numel() > 0
    thread.join()
    assert not failures and model_info(path) == {"number": 39}


def test_a_tokenizer_with_more_tokens_than_the_model_is_one_sentence(tmp_path, tokenizer):
    save_model(GPT(GPTConfig(vocab_size=50, context=8, d_model=16, n_layer=1)), tmp_path / "m", tokenizer=tokenizer)
    model = load_model(tmp_path / "m")
    with pytest.raises(UserError, match=r"has 2,048 tokens, more than the 50 of the model"):
        model("def f():")
