"""The command line, run: what works, and one sentence with status 2 for each kind of bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, load_model, save_model
from sparsegpt2.circuits import Circuit
from sparsegpt2.cli import COMMANDS
from sparsegpt2.model.sites import node_sites
from sparsegpt2.text.train_tokenizer import train_tokenizer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer) -> Path:
    """An untrained model with made-up node means, and the default tokenizer beside it."""
    torch.manual_seed(0)
    untrained = GPT(GPTConfig(context=128, d_model=16, n_layer=1))
    untrained.means = {site: torch.zeros(width) for site, width in node_sites(untrained.config).items()}
    path = tmp_path_factory.mktemp("model") / "untrained"
    save_model(untrained, path, tokenizer=tokenizer, info={"held_out_loss": 7.6, "l0": 100})
    return path


def test_the_installed_command_and_both_modules_list_their_commands():
    for program in (["sparsegpt2.cli"], ["eval_tasks"], ["train"]):
        said = subprocess.run([sys.executable, "-m", *program, "--help"], cwd=ROOT, text=True, capture_output=True)
        assert said.returncode == 0 and "usage" in said.stdout.lower(), said


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name):
    said = subprocess.run(
        [sys.executable, "-m", "sparsegpt2.cli", name, "--help"], cwd=ROOT, text=True, capture_output=True
    )
    assert said.returncode == 0 and "usage" in said.stdout.lower(), said


def test_tasks_lists_each_with_examples(command, model):
    status, out, _ = command("tasks", "--tokenizer", model)
    assert status == 0
    assert "20 of 20 tasks can be posed" in out
    assert out.count(" -> ") == 20 * 4


def test_tasks_says_why_a_tokenizer_cannot_pose_one(command, tmp_path):
    train_tokenizer(["def total(a):\n    return a\n" * 50], vocab_size=270).save(tmp_path)
    status, out, _ = command("tasks", "--tokenizer", tmp_path)
    assert status == 0
    assert "can't be posed: " in out and "20 of 20" not in out


def test_prune_writes_a_circuit(command, model, tmp_path):
    status, out, err = command(
        "prune", model, "--task", "for_while", "--steps", 2, "--out", tmp_path / "c.json", "--target_loss", 20
    )
    assert status == 0, err
    circuit = Circuit.load(tmp_path / "c.json")
    assert f"{circuit.n_nodes} nodes" in out and "256 pairs" in out
    status, listed, err = command("view", tmp_path / "c.json", "--text")
    assert status == 0, err
    assert f"{circuit.n_nodes} nodes, {circuit.edges(load_model(model))} edges" in listed
    assert listed.count("\n    ") == circuit.edges(load_model(model))
    status, out, err = command("view", tmp_path / "c.json", "--windows", 3, "--max_nodes", 20)
    assert status == 0, err
    assert "1 circuit" in out and "for_while in untrained" in (tmp_path / "c.html").read_text()


def test_bench_then_frontier(command, model, tmp_path):
    arguments = ["bench", model, "--tasks", '["for_while", "if_equals"]', "--target_losses", "[20]", "--test_pairs", 8]
    arguments += ["--prune.steps", 2, "--out", tmp_path / "results"]
    status, _, err = command(*arguments)
    assert status == 0, err
    rows = [json.loads(line) for line in (tmp_path / "results" / "results.jsonl").open()]
    assert {row["task"] for row in rows} == {"for_while", "if_equals"}
    assert all((tmp_path / "results" / row["circuit"]).exists() for row in rows)
    status, _, err = command(*arguments)
    assert status == 0, err
    assert len((tmp_path / "results" / "results.jsonl").read_text().splitlines()) == 2
    status, out, err = command("frontier", tmp_path / "results", "--out", tmp_path / "f.png")
    assert status == 0, err
    assert (tmp_path / "f.png").exists() and (tmp_path / "f.svg").exists() and "f.csv" in out
    status, out, err = command("view", tmp_path / "results", "--out", tmp_path / "v.html", "--max_nodes", 20)
    assert status == 0, err
    assert "2 circuits" in out and (tmp_path / "v.html").exists()


def truncated(model: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "truncated"
    copy.mkdir()
    for file in model.iterdir():
        if file.is_file():
            data = file.read_bytes()
            (copy / file.name).write_bytes(data[: len(data) // 2] if file.suffix == ".safetensors" else data)
    return copy


def unposable(model: Path, tmp_path: Path) -> Path:
    small = train_tokenizer(["def total(a):\n    return a\n" * 50], vocab_size=270)
    save_model(load_model(model), tmp_path / "unposable", tokenizer=small)
    return tmp_path / "unposable"


def with_nan(model: Path, tmp_path: Path) -> Path:
    from sparsegpt2.text.tokenizer import Tokenizer

    broken = load_model(model)
    with torch.no_grad():
        broken.wte.weight[:] = float("nan")
    save_model(broken, tmp_path / "nan", tokenizer=Tokenizer.load(model))
    return tmp_path / "nan"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda model, folder: folder / "nowhere", "does not exist"),
        (truncated, "truncated"),
        (unposable, "can't be posed"),
        (with_nan, "holds NaN or infinite numbers"),
    ],
)
def test_a_bad_model_is_one_sentence(command, model, tmp_path, damage, sentence):
    status, _, err = command("prune", damage(model, tmp_path), "--task", "for_while", "--out", tmp_path / "c.json")
    assert status == 2
    assert err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fly"], "no command 'fly'"),
        (["prune"], "needs a model"),
        (["prune", "MODEL", "--task", "juggling"], "no task 'juggling'"),
        (["prune", "MODEL", "--task", "for_while", "--pruner", "magic"], "magic"),
        (["prune", "MODEL", "--task", "for_while", "--stepz", "3"], "stepz"),
        (["prune", "MODEL", "--task", "for_while", "--target_loss", "-1"], "target_loss"),
        (["prune", "MODEL", "--task", "for_while", "--out", "MODEL"], "is a folder; name a file"),
        (["prune", "MODEL", "--task", "for_while", "--out", "/proc/c.json"], "cannot be written"),
        (["bench", "MODEL", "--out", "OUT", "--tasks", '["juggling"]'], "juggling"),
        (["bench", "MODEL", "--out", "OUT", "--device", "abacus"], "abacus"),
        (["tasks", "--tokenizer", "nowhere"], "nowhere"),
        (["frontier", "nowhere", "--out", "f.png"], "nowhere"),
        (["frontier", "nowhere", "--out", "/proc/f.png"], "cannot be written"),
        (["train", "nowhere.yaml"], "nowhere.yaml"),
        (["view", "nowhere.json"], "nowhere.json"),
        (["view", "MODEL"], "neither metrics.jsonl nor results.jsonl"),
        (["view", "MODEL", "--max_nodes", "0"], "max_nodes"),
        (["view", "nowhere.json", "--out", "/proc/p.html"], "cannot be written"),
        (["view", "nowhere.json", "--notes", "nowhere.notes"], "nowhere.notes does not exist"),
    ],
)
def test_bad_arguments_are_one_sentence(command, model, tmp_path, arguments, sentence):
    named = {"MODEL": str(model), "OUT": str(tmp_path / "out")}
    status, _, err = command(*[named.get(argument, argument) for argument in arguments])
    assert status == 2
    assert err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1
