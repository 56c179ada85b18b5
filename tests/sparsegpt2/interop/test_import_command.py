"""A published model, brought in by the command, goes through everything: tasks, prune, bench, view, and out again."""

from __future__ import annotations

import json

import pytest
import torch

from sparsegpt2 import load_model
from sparsegpt2.circuits import Circuit, node_means
from sparsegpt2.interop import data_gym
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.text.tokenizer import Tokenizer

SETTINGS = {
    "block_size": 96,
    "vocab_size": 2048,
    "n_layer": 1,
    "n_head": 4,
    "d_head": 4,
    "d_model": 16,
    "rms_norm": True,
    "sink": True,
    "enable_bigram_table": True,
    "tied_unembed": False,
    "afrac": 0.25,
    "afrac_loctypes": "attn_in,attn_out,mlp_in,mlp_out,mlp_neuron,attn_q,attn_k,attn_v",
    "dropout": 0.1,
}


@pytest.fixture
def theirs(published, tokenizer, tmp_path):
    """A directory as published, with the published kind of tokenizer."""
    directory = published.write(tmp_path / "theirs", SETTINGS, published.random_state(SETTINGS, zero_positions=True))
    for name, text in data_gym.files(tokenizer).items():
        (directory / name).write_text(text)
    return directory


def test_everything_works_on_a_published_model(theirs, tmp_path, command):
    path = tmp_path / "ours"
    status, out, err = command("import", "openai", theirs, "--out", path, "--means_tokens", 2000)
    assert status == 0, err
    info = model_info(path)
    assert info["means_tokens"] == 20 * 96 and info["means_corpus"] == "tinypython" and f"L0 {info['l0']:,}" in out
    status, out, err = command("tasks", "--tokenizer", path)
    assert status == 0 and "20 of 20 tasks can be posed" in out, err
    circuit = tmp_path / "c.json"
    arguments = ["prune", path, "--task", "for_while", "--steps", 2, "--target_loss", 50, "--out", circuit]
    status, out, err = command(*arguments)
    assert status == 0 and Circuit.load(circuit).n_nodes > 0, err
    status, out, err = command("view", circuit, "--text")
    assert status == 0 and f"{Circuit.load(circuit).n_nodes} nodes" in out, err
    status, out, err = command(
        *["bench", path, "--tasks", '["for_while"]', "--target_losses", "[50]", "--test_pairs", 8],
        *["--prune.steps", 2, "--out", tmp_path / "results"],
    )
    assert status == 0, err
    row = json.loads((tmp_path / "results" / "results.jsonl").read_text())
    assert row["status"] == "pruned" and row["l0"] == info["l0"] and row["held_out_loss"] is None
    status, out, err = command("export", "openai", path, "--out", tmp_path / "back")
    assert status == 0, err
    states = [torch.load(folder / "final_model.pt", weights_only=True) for folder in (theirs, tmp_path / "back")]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert json.loads((tmp_path / "back" / "beeg_config.json").read_text())["dropout"] == 0.1
    for name in ("vocab.bpe", "encoder.json"):
        assert (tmp_path / "back" / name).read_text() == (theirs / name).read_text()


def test_means_are_those_of_the_corpus_as_in_training(theirs, tmp_path, command):
    text = tmp_path / "text"
    text.mkdir()
    for index in range(3):
        (text / f"{index}.py").write_text(f"def total_{index}(values):\n    return sum(values)\n" * 40)
    status, _, err = command("import", "openai", theirs, "--out", tmp_path / "ours", "--corpus", text)
    assert status == 0, err
    model, tokenizer = load_model(tmp_path / "ours"), Tokenizer.load(tmp_path / "ours")
    files = sorted(text.iterdir())
    orders = [files[i:] + files[:i] for i in range(3)] + [files[i::-1] + files[:i:-1] for i in range(3)]
    found = []
    for order in orders:  # the corpus shuffles its files by its seed
        ids = [id for file in order for id in [tokenizer.end_of_text, *tokenizer.encode(file.read_text())]]
        rows = len(ids) // 96
        means = node_means(model, torch.tensor(ids[: rows * 96]).view(rows, 96))
        found.append(all(torch.allclose(means[site], model.means[site], atol=1e-6) for site in means))
    assert any(found)


def test_without_corpus_there_are_no_means_and_pruning_says_so(theirs, tmp_path, command):
    status, _, err = command("import", "openai", theirs, "--out", tmp_path / "ours", "--corpus", "none")
    assert status == 0 and load_model(tmp_path / "ours").means is None, err
    status, _, err = command("prune", tmp_path / "ours", "--task", "for_while", "--out", tmp_path / "c.json")
    assert status == 2 and "has no node means" in err


def test_without_tokenizer_the_model_comes_alone_and_one_can_be_given(theirs, tmp_path, command, tokenizer):
    (theirs / "vocab.bpe").rename(tmp_path / "vocab.bpe")
    (theirs / "encoder.json").rename(tmp_path / "encoder.json")
    status, out, err = command("import", "openai", theirs, "--out", tmp_path / "ours")
    assert status == 0 and "give the folder of a tokenizer with --tokenizer" in out, err
    assert not (tmp_path / "ours" / "tokenizer.json").exists()
    tokenizer.save(tmp_path / "own")
    for given in (tmp_path, tmp_path / "own"):
        arguments = ["import", "openai", theirs, "--out", tmp_path / "ours", "--corpus", "none", "--tokenizer", given]
        status, _, err = command(*arguments)
        assert status == 0, err
        assert Tokenizer.load(tmp_path / "ours").fingerprint == tokenizer.fingerprint


def smaller_tokenizer(theirs, tmp_path):
    from sparsegpt2.text.train_tokenizer import train_tokenizer

    small = train_tokenizer(["def total(a):\n    return a\n" * 50], vocab_size=270)
    for name, text in data_gym.files(small).items():
        (theirs / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "more", "sentence"),
    [
        (smaller_tokenizer, [], "the tokenizer has 270 tokens and the model 2048"),
        (lambda theirs, _: (theirs / "encoder.json").unlink(), [], "encoder.json does not exist"),
        (None, ["--corpus", "nowhere"], "nowhere"),
        (None, ["--device", "abacus"], "there is no device 'abacus'"),
        (None, ["--means_tokens", "0"], "means_tokens must be at least 1"),
        (None, ["--tokenizer", "nowhere"], "nowhere"),
        (
            lambda theirs, folder: (folder / "x.py").write_text("a = 1\n"),
            ["--corpus", "TEXT"],
            "too few for one context",
        ),
        (lambda theirs, _: (theirs / "beeg_config.json").unlink(), [], "beeg_config.json does not exist"),
        (lambda theirs, _: (theirs / "beeg_config.json").write_text("{"), [], "not valid JSON"),
    ],
)
def test_mistakes_are_one_sentence_and_leave_nothing(theirs, tmp_path, command, damage, more, sentence):
    if damage:
        damage(theirs, tmp_path)
    more = [str(tmp_path / "x.py") if argument == "TEXT" else argument for argument in more]
    status, _, err = command("import", "openai", theirs, "--out", tmp_path / "ours", *more)
    assert status == 2 and err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "ours").exists()


def test_an_unknown_format_names_those_there_are(tmp_path, command):
    status, _, err = command("import", "onnx", tmp_path, "--out", tmp_path / "ours")
    assert status == 2 and "FORMAT needs openai or gpt2, not 'onnx'" in err
