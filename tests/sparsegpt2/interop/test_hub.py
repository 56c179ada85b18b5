"""push and load_model("hf:user/name") through huggingface_hub itself, against a local stand-in of the hub."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.interop import gpt2, hub
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.model.sites import node_sites
from sparsegpt2.text.tokenizer import Tokenizer

TRAIN = {"data": {"corpora": [{"name": "tinypython", "path": None}]}, "sparsity": {"density": 0.06}, "seed": 3}
INFO = {"held_out_loss": 1.8881, "density": 0.06, "tokens": 3000320, "seed": 3, "train": TRAIN}


@pytest.fixture
def saved(tmp_path, tokenizer):
    torch.manual_seed(0)
    model = GPT(GPTConfig(context=16, n_layer=1, d_model=16))
    with torch.no_grad():
        model.wte.weight[:, 3:] = 0
    model.means = {name: torch.randn(width) for name, width in node_sites(model.config).items()}
    save_model(model, tmp_path / "run" / "best", tokenizer=tokenizer, info=INFO)
    return model, tmp_path / "run"


def test_what_is_pushed_comes_back_bit_for_bit(stand_in, saved, tokenizer, command):
    model, path = saved
    status, out, err = command("push", path, "ada/tiny", "--message", "the first")
    assert status == 0, err
    assert out.strip().endswith("/ada/tiny") and stand_in.messages == ["the first"]
    files = stand_in.repositories["ada/tiny"]
    assert {name for name in files if name != "README.md"} == {file.name for file in (path / "best").iterdir()}
    assert all(files[file.name] == file.read_bytes() for file in (path / "best").iterdir())
    back = load_model("hf:ada/tiny")
    assert back.config == model.config and model_info("hf:ada/tiny") == INFO
    for (name, a), (_, b) in zip(model.state_dict().items(), back.state_dict().items(), strict=True):
        assert torch.equal(a, b), name
    assert all(torch.equal(model.means[site], back.means[site]) for site in model.means)
    status, out, err = command("tasks", "--tokenizer", "hf:ada/tiny", "for_while")
    assert status == 0 and "1 of 1 tasks can be posed" in out, err


def test_a_revision_can_be_named(stand_in, saved):
    model, path = saved
    hub.push(path, "ada/tiny")
    assert load_model("hf:ada/tiny@main").config == model.config
    with pytest.raises(UserError, match="hf:ada/tiny@old: the hub has no such revision of it"):
        load_model("hf:ada/tiny@old")


def test_without_the_hub_the_copy_is_used(stand_in, saved, monkeypatch):
    from huggingface_hub import constants

    model, path = saved
    hub.push(path, "ada/tiny")
    load_model("hf:ada/tiny")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert torch.equal(load_model("hf:ada/tiny").wte.weight, model.wte.weight)
    with pytest.raises(UserError, match=r"hf:ada/other cannot be fetched: the hub cannot be reached"):
        load_model("hf:ada/other")


def test_the_card_says_what_is_known(stand_in, saved):
    _, path = saved
    hub.push(path, "ada/tiny")
    card = stand_in.repositories["ada/tiny"]["README.md"].decode()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "sparsegpt2"
    for fact in ("| 1.8881 |", "| 0.06 |", "| 3,000,320 |", "Data: tinypython", "sparsegpt2 train train.yaml"):
        assert fact in text
    assert 'load_model("hf:ada/tiny")' in text and "| d_model | 16 |" in text
    assert yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]) == TRAIN


def test_gpt2_by_its_name(stand_in, tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    small = GPT2Config(vocab_size=60, n_positions=16, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(small).save_pretrained(tmp_path / "theirs")
    stand_in.repositories["bob/gpt2"] = {file.name: file.read_bytes() for file in (tmp_path / "theirs").iterdir()}
    tokens = torch.arange(16)[None]
    assert torch.equal(gpt2.load("bob/gpt2")(tokens), gpt2.load(tmp_path / "theirs")(tokens))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["push", "RUN", "tiny"], "write user/name"),
        (["push", "RUN", "ada/ti ny"], "write user/name"),
        (["push", "RUN", "forbidden/tiny"], "the hub refused with status 403"),
        (["push", "nowhere", "ada/tiny"], "does not exist"),
        (["prune", "hf:nobody/nothing", "--task", "for_while"], "is not on the hub, or you have no access to it"),
        (["prune", "hf:a/b/c", "--task", "for_while"], "is not a model on the hub"),
        (["import", "gpt2", "nobody/nothing", "--out", "OUT"], "is not on the hub"),
    ],
)
def test_mistakes_are_one_sentence(stand_in, saved, tmp_path, command, arguments, sentence):
    named = {"RUN": str(saved[1]), "OUT": str(tmp_path / "out")}
    status, _, err = command(*[named.get(argument, argument) for argument in arguments])
    assert status == 2 and err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1


def test_a_damaged_model_is_not_sent(stand_in, saved, command):
    _, path = saved
    weights = path / "best" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    status, _, err = command("push", path, "ada/tiny")
    assert status == 2 and "truncated" in err and not stand_in.repositories


def test_a_fetched_tokenizer_is_the_one_pushed(stand_in, saved, tokenizer):
    from sparsegpt2.locate import model_directory

    hub.push(saved[1], "ada/tiny")
    assert Tokenizer.load(model_directory("hf:ada/tiny")).fingerprint == tokenizer.fingerprint


def test_models_of_other_formats_get_a_hint_before_their_weights_are_fetched(stand_in, tmp_path, command):
    config = json.dumps({"model_type": "circuitgpt", "block_size": 256, "mup": False}).encode()
    stand_in.repositories["lab/circuit"] = {"config.json": config, "model.safetensors": b"gigabytes"}
    hint = "get its beeg_config.json and final_model.pt and use `sparsegpt2 import openai"
    for load in (lambda: load_model("hf:lab/circuit"), lambda: gpt2.load("lab/circuit")):
        with pytest.raises(UserError, match=hint):
            load()
    assert not list((tmp_path / "cache").rglob("model.safetensors"))
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "config.json").write_bytes(config)
    for arguments in (("import", "openai", folder, "--out", tmp_path / "out"), ("tasks", "--tokenizer", folder)):
        status, _, err = command(*arguments)
        assert status == 2 and ("openai" not in arguments or hint in err)
    with pytest.raises(UserError, match=hint):
        load_model(folder)
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(UserError, match="use `sparsegpt2 import gpt2"):
        load_model(folder)
