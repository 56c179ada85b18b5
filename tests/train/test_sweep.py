"""A sweep: every combination trained, the best one a run like any other, going on, and what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from sparsegpt2 import UserError, load_model
from sparsegpt2.commands.train import train as main
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.settings import run
from train import side_by_side
from train.sweep import combinations, name, ranked

WORDS = [first + second for first in "badofimu" for second in ("ra", "ten", "sil", "ko")]
TEXT = "".join(f"def {WORDS[i % 31]}(a, b={i % 11}):\n    return {WORDS[i % 29]} * {i % 13}\n\n" for i in range(60))
SETTINGS = {
    "model": {"vocab_size": 300, "context": 16, "n_layer": 1, "d_model": 16, "d_head": 8},
    "data": {"tokens": 9000, "vocab_size": 300, "held_out_fraction": 0.1, "tokenizer_bytes": 20000},
    "tokens": 4 * 4 * 16,
    "batch_size": 4,
    "evaluations": 1,
    "validation_tokens": 128,
    "held_out_tokens": 128,
    "means_tokens": 128,
}


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Runs one after the other in this process; tests/train/test_lanes.py has them side by side in their own."""

    def run_queue(commands, lanes, forgiving):
        assert forgiving and lanes >= 1
        for command in commands:
            assert command[0] == "train"
            run(main, command[1:])

    monkeypatch.setattr(side_by_side, "run_queue", run_queue)


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "text").mkdir()
    for i in range(30):
        (tmp_path / "text" / f"{i}.py").write_text(TEXT[i * 2 :])
    data = SETTINGS["data"] | {"corpora": [{"name": "files", "path": str(tmp_path / "text")}]}
    (tmp_path / "tiny.yaml").write_text(
        yaml.safe_dump(SETTINGS | {"data": data, "data_folder": str(tmp_path / "data")})
    )
    return tmp_path / "tiny.yaml"


def test_every_value_is_trained_and_the_best_is_a_run(config, capfd):
    out = config.parent / "sweep"
    arguments = [str(config), "--seed", "3", "--sweep", "{optimizer.lr: [1e-3, 2e-2, 1e30]}", "--out", str(out)]
    assert run(main, arguments) == 0
    printed = capfd.readouterr()
    lines = list(csv.DictReader((out / "sweep.csv").open()))
    assert [line["optimizer.lr"] for line in lines] == ["0.001", "0.02", "1e+30"]
    losses = {line["optimizer.lr"]: line["held_out_loss"] for line in lines}
    assert losses["1e+30"] == ""  # it diverged, said so, and the others went on
    assert "the loss became" in printed.err
    assert float(losses["0.02"]) < float(losses["0.001"])
    assert (out / "best").resolve() == (out / "optimizer.lr=0.02" / "best").resolve()
    assert model_info(out)["train"]["optimizer"]["lr"] == 0.02 and model_info(out)["train"]["seed"] == 3
    assert load_model(out).config.d_model == 16
    assert yaml.safe_load((out / "config.yaml").read_text())["threads"] == 1
    assert "best: optimizer.lr=0.02" in printed.out
    before = (out / "optimizer.lr=0.02" / "best" / "model.safetensors").stat().st_mtime_ns
    assert run(main, arguments) == 0  # nothing is trained twice
    assert (out / "optimizer.lr=0.02" / "best" / "model.safetensors").stat().st_mtime_ns == before
    assert "best: optimizer.lr=0.02" in capfd.readouterr().out


def test_what_a_sweep_refuses(config, capsys):
    out = config.parent / "sweep"

    def refused(grid: str, *more: str) -> str:
        assert run(main, [str(config), "--sweep", grid, "--out", str(out), *more]) == 2
        return capsys.readouterr().err

    assert "optimizer.rate" in refused("{optimizer.rate: [1]}")
    assert "no value for seed" in refused("{seed: []}")
    assert "a value of seed twice" in refused("{seed: [1, 1]}")
    assert "numbers or words" in refused("{optimizer.betas: [[0.1, 0.2]]}")
    assert "lr must be above 0" in refused("{optimizer.lr: [1e-3, -1]}")
    assert not out.exists()
    (out / "best").mkdir(parents=True)
    assert "best is in the way" in refused("{seed: [1]}")


def test_a_sweep_in_which_nothing_finishes_says_so(config, capfd):
    assert run(main, [str(config), "--sweep", "{optimizer.lr: [1e30]}", "--out", str(config.parent / "s")]) == 2
    assert "no run of the sweep" in capfd.readouterr().err


def test_combinations_are_all_there_and_the_table_ranks_them():
    choices = combinations({"optimizer.lr": [0.1, 0.2], "seed": [0, 1]})
    assert [name(choice) for choice in choices] == [
        f"optimizer.lr={lr},seed={seed}" for lr in (0.1, 0.2) for seed in (0, 1)
    ]
    lines = [{"seed": 0, "held_out_loss": 2.0}, {"seed": 1, "held_out_loss": ""}, {"seed": 2, "held_out_loss": 1.0}]
    assert [row.split() for row in ranked(lines)[1:]] == [["2", "1"], ["0", "2"], ["1", "-"]]
    with pytest.raises(UserError, match="no value for seed"):
        combinations({"seed": []})
