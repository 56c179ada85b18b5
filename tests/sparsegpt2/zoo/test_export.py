"""Models of the package: made by `export zoo`, listed by `zoo`, named zoo:NAME everywhere, never written into."""

from __future__ import annotations

import os

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, SparsityConfig, UserError, load_model, save_model
from sparsegpt2.locate import zoo
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.model.sites import node_sites
from sparsegpt2.results import Row, append_row
from sparsegpt2.sparsity.project import project_model_
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.zoo import export as entries

LOSS = 1.2345678901234567


def a_row(of: GPT, **changes) -> Row:
    values = {
        "model": "m",
        "model_path": "runs/m",
        "fingerprint": "f",
        "task": "for_while",
        "task_fingerprint": "t",
        "pruner": "node",
        "seed": 0,
        "target_loss": 0.15,
        "settings": {"steps": 7},
        "status": "pruned",
        "has_task": True,
        "reached": True,
        "loss": 0.14,
        "loss_full": 0.02,
        "nodes": 12,
        "edges": 100,
        "edges_trimmed": 90,
        "held_out_loss": LOSS,
        "l0": l0(of),
        "density": 0.5,
        "d_model": 16,
        "n_layer": 1,
        "parameters": 10,
        "commit": "abc123",
        "machine": "2 cores",
    }
    return Row(**{**values, **changes})


@pytest.fixture
def trained(tmp_path, tokenizer):
    """A tiny model as a run folder, and results of it and of another model."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=64, n_layer=1, d_model=16))
    project_model_(model, SparsityConfig(density=0.5, min_alive=1))
    with torch.no_grad():
        model.bigram[:5] = torch.randn(5, model.config.vocab_size)
    model.means = {site: torch.randn(width) for site, width in node_sites(model.config).items()}
    info = {"held_out_loss": LOSS, "commit": "0ff1ce"}
    save_model(model, tmp_path / "run" / "best", tokenizer=tokenizer, info=info)
    (tmp_path / "results").mkdir()
    has_not = dict.fromkeys(("loss", "nodes", "edges", "edges_trimmed"))
    for row in (
        a_row(model),
        a_row(model, seed=1, edges=400),
        a_row(model, task="var_swap", status="lacks the task", has_task=False, reached=False, loss_full=1.5, **has_not),
        a_row(model, model="other", model_path="runs/o", fingerprint="o", held_out_loss=LOSS + 1e-15, edges=7),
    ):
        append_row(tmp_path / "results", row)
    return model, tmp_path


@pytest.fixture
def in_zoo(trained, monkeypatch):
    """The model put into an otherwise empty zoo as zoo:tiny."""
    model, folder = trained
    monkeypatch.setattr(zoo, "FOLDER", folder / "zoo")
    entries.export(folder / "run", folder / "zoo" / "tiny", [folder / "results"])
    return model, folder


def test_an_entry_is_the_model_and_its_card(in_zoo, tokenizer):
    model, folder = in_zoo
    back = load_model("zoo:tiny")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters(), strict=True))
    assert all(torch.equal(model.means[site], back.means[site]) for site in model.means)
    files = {"README.md", "config.json", "model.safetensors", "node_means.safetensors", "tokenizer.json"}
    assert {file.name for file in (folder / "zoo" / "tiny").iterdir()} == files
    facts = model_info("zoo:tiny")["benchmark"]
    assert facts["had"] == 1 and facts["edges"] == pytest.approx(200) and facts["seeds"] == [0, 1]
    card = (folder / "zoo" / "tiny" / "README.md").read_text()
    for part in ('load_model("zoo:tiny")', "It has 1 of 2 tasks", "| for_while | 0.020 | yes | 200 |", "steps: 7"):
        assert part in card
    assert "| trained at commit | 0ff1ce |" in card and "Made at commit abc123" in card and "Rounded" not in card


def test_a_large_table_is_rounded_and_the_card_says_so(trained, monkeypatch):
    model, folder = trained
    exact = entries.export(folder / "run", folder / "exact")
    monkeypatch.setattr(entries, "LIMIT", exact - 1)
    assert entries.export(folder / "run", folder / "small") < exact
    back = load_model(folder / "small")
    assert torch.equal(back.bigram, model.bigram.bfloat16().float()) and not torch.equal(back.bigram, model.bigram)
    assert torch.equal(back.unembed.weight, model.unembed.weight)
    assert "bigram to bfloat16" in (folder / "small" / "README.md").read_text()
    monkeypatch.setattr(entries, "LIMIT", 1000)
    with pytest.raises(UserError, match=r"run has .* without zeros; a zoo model may have at most 0.001"):
        entries.export(folder / "run", folder / "none")
    assert not (folder / "none").exists()


def test_commands(in_zoo, command, monkeypatch):
    model, folder = in_zoo
    status, out, _ = command("zoo")
    assert status == 0 and out.splitlines()[1].split()[:6] == [
        "tiny",
        "1",
        "16",
        "64",
        f"{l0(model) / 1000:.3g}k",
        "1.235",
    ]
    assert "1 of 2" in out and "200 (mean of 1)" in out
    status, out, err = command("export", "zoo", folder / "run", "--out", folder / "b", "--results", folder / "results")
    assert status == 0 and out.splitlines()[-1] == str(folder / "b"), err
    status, _, err = command("prune", "zoo:tony", "--task", "for_while")
    assert status == 2 and "there is no model 'tony' in the zoo; there are tiny" in err
    status, _, err = command("prune", "zoo:../zoo/tiny", "--task", "for_while")
    assert status == 2 and "there is no model" in err


def test_circuits_of_a_zoo_model_go_to_the_working_folder(in_zoo, command, monkeypatch):
    _, folder = in_zoo
    before = sorted(folder.glob("zoo/**/*"))
    (folder / "work").mkdir()
    monkeypatch.chdir(folder / "work")
    few = ["--steps", 1, "--pairs", 2, "--validation_pairs", 4, "--target_loss", 50]
    status, out, err = command("prune", "zoo:tiny", "--task", "for_while", *few)
    assert status == 0 and "circuits/tiny/for_while.json" in out, err
    assert sorted(folder.glob("zoo/**/*")) == before
    status, out, err = command("view", "circuits/tiny/for_while.json", "--text")  # the circuit names zoo:tiny
    assert status == 0, err
    bench = ["--tasks", "[for_while]", "--test_pairs", 4, "--target_losses", "[50]", "--out", "results"]
    status, out, err = command(
        "bench", "zoo:tiny", *bench, *[f"--prune.{f[2:]}" if str(f)[:2] == "--" else f for f in few[:6]]
    )
    assert status == 0 and sorted(os.listdir("results/circuits")) == ["tiny"], err


def test_what_cannot_be_an_entry_is_one_sentence(trained, tokenizer):
    model, folder = trained
    (folder / "elsewhere").mkdir()
    append_row(folder / "elsewhere", a_row(model, held_out_loss=LOSS + 1))
    with pytest.raises(UserError, match="no results of this model"):
        entries.export(folder / "run", folder / "e", [folder / "elsewhere"])
    save_model(model, folder / "mute")
    with pytest.raises(UserError, match=r"has no tokenizer.json"):
        entries.export(folder / "mute", folder / "e")
    model.means = None
    save_model(model, folder / "raw", tokenizer=tokenizer)
    with pytest.raises(UserError, match="has no node means"):
        entries.export(folder / "raw", folder / "e")
    assert not (folder / "e").exists()


def test_an_empty_zoo_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="this copy of the package has none"):
        load_model("zoo:any")


def test_every_entry_of_this_package_loads_and_is_small():
    for name in zoo.names():
        assert load_model(f"zoo:{name}").means is not None
        assert sum(file.stat().st_size for file in zoo.directory(name).iterdir()) <= entries.LIMIT
        assert "held_out_loss" in model_info(f"zoo:{name}")
        card = (zoo.directory(name) / entries.CARD).read_text()
        assert card == entries.card_of(name), "run `sparsegpt2 zoo --release FOLDER`, which writes the cards again"
