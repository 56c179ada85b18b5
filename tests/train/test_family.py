"""Families: settings over one base, the cost told beforehand, trained and benchmarked by one command, going on."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sparsegpt2 import UserError, cli, configs
from sparsegpt2.results import read_rows
from sparsegpt2.settings import run_commands
from train import family, lanes, side_by_side
from train.cost import Cost, cost, progress_of, seconds_per_step, together
from train.family import make_plan, read_family, sizes

BASE = {
    "model": {"context": 64, "n_layer": 1, "d_head": 8, "d_model": 16},
    "sparsity": {"min_alive": 1},
    "batch_size": 2,
    "evaluations": 1,
    **dict.fromkeys(("validation_tokens", "held_out_tokens", "means_tokens"), 128),
}
PRUNING = {"steps": 1, "pairs": 2, "validation_pairs": 4}
BENCH = {"tasks": ["for_while"], "test_pairs": 4, "target_losses": [50.0], "prune": PRUNING}


@pytest.fixture
def folder(tmp_path, tokenizer) -> Path:
    """A family of two tiny models."""
    data = {"held_out_fraction": 0.2, "tokenizer": str(tokenizer.save(tmp_path))}
    here = tmp_path / "family"
    here.mkdir()
    for name, values in {
        "base": BASE | {"data": data},
        "bench": BENCH,
        "dense": {"optimizer": {"lr": 7e-3}},
        "sparse": {"model": {"d_model": 24}, "sparsity": {"density": 0.5}},
    }.items():
        (here / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return here


@pytest.fixture
def command(monkeypatch, capsys):
    """Call `sparsegpt2` in this process, its lanes and timed steps too: (status, stdout, stderr)."""

    def run_queue(commands, count, *, forgiving=False):
        for arguments in commands:
            assert run_commands("sparsegpt2", cli.COMMANDS, arguments) == 0

    for module in (lanes, side_by_side):
        monkeypatch.setattr(module, "run_queue", run_queue)
    monkeypatch.setattr(family, "lanes_for", lambda config: 1)

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        return run_commands("sparsegpt2", cli.COMMANDS, list(map(str, arguments))), *capsys.readouterr()

    return call


def test_members_are_read_over_the_base_and_flags_over_both(folder):
    found = read_family(folder, flags=["--tokens", "500"])
    assert list(found) == ["dense", "sparse"]
    assert found["dense"].optimizer.lr == 7e-3 and found["dense"].model.d_model == 16
    assert found["sparse"].sparsity.density == 0.5 and found["sparse"].sparsity.min_alive == 1
    assert found["sparse"].model.d_mlp == 96 and {one.tokens for one in found.values()} == {500}
    assert list(read_family(folder, ["sparse"])) == ["sparse"]


def test_one_command_makes_the_family_and_goes_on(folder, command):
    out = folder.parent / "out"
    arguments = ["family", folder, "--out", out, "--tokens", 4000]
    status, told, err = command(*arguments, "--dry_run")
    assert status == 0 and not out.exists(), err
    assert re.search(r"sparse +24 +52\.7k +105k +4,096 +\d+:\d\d", told), told
    assert re.search(r"8,192 tokens in \d+:\d\d", told), told
    status, told, err = command(*arguments)
    assert status == 0, err
    rows = read_rows(out)
    assert {row.model for row in rows} == {"dense", "sparse"}
    assert all((out / row.circuit).is_file() for row in rows if row.circuit)
    assert any(row.circuit for row in rows) and (out / "frontier.png").is_file()
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*/best/*")}
    status, told, err = command(*arguments)
    assert status == 0 and "0 tokens in 0:00" in told and told.count("finished") >= 2, err
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*/best/*")}
    assert read_rows(out) == rows


def test_what_is_wrong_with_a_family_is_one_sentence(folder, command):
    with pytest.raises(UserError, match=r"there is no base.yaml in it"):
        read_family(folder.parent)
    assert "there is no 'tiny' in" in command("family", folder, "--only", "tiny")[2]
    assert "must be at least 1" in command("family", folder, "--tokens", -5)[2]
    (folder / "sparse.yaml").write_text("sparsity: {density: 0.01}")
    status, _, err = command("family", folder, "--out", folder / "out", "--dry_run")
    assert status == 2 and "lower min_alive or raise density" in err and err.count("\n") == 1
    (folder / "sparse.yaml").write_text("sparsity: {densty: 0.01}")
    assert "densty" in command("family", folder)[2]


def test_cost_of_what_is_left(folder, tmp_path):
    config = read_family(folder, flags=["--tokens", "1280"])["dense"]
    assert config.steps == 10
    whole = cost(config, 2.0, tmp_path / "new")
    assert whole == Cost(1280, pytest.approx(10 * 2.0 + (128 + 256 + 128) / 3 * 2.0 / 128))
    for finished in (False, True):
        (tmp_path / "run" / "last").mkdir(parents=True, exist_ok=True)
        step = 10 if finished else 5
        values = {"step": step, "finished": finished}
        (tmp_path / "run" / "last" / "progress.json").write_text(json.dumps(values))
        assert progress_of(tmp_path / "run") == (step, finished)
        left = cost(config, 2.0, tmp_path / "run")
        assert left == Cost(0, 0.0) if finished else left.tokens == 640 and 10 < left.seconds < whole.seconds / 1.7
    assert 0 < seconds_per_step(config, 1) < 10
    assert together([5, 4, 3, 3], 2) == 8 and together([5, 4], 1) == 9 and together([], 2) == 0


def test_plans_are_timed_side_by_side_in_processes_of_their_own(folder, monkeypatch):
    monkeypatch.setattr(family, "lanes_for", lambda config: 2)
    plan = make_plan(read_family(folder, flags=["--tokens", "1280"]), folder / "out")
    assert plan.lanes == 2 and all(one.seconds > 0 for one in plan.costs)
    assert [one.seconds for one in plan.costs] == sorted((one.seconds for one in plan.costs), reverse=True)
    assert all(config.threads == 1 for config in plan.runs.values())


def test_the_family_of_the_repository_spans_what_it_promises():
    found = read_family(configs.FOLDER / "family")
    sparse = {name: config for name, config in found.items() if config.sparsity.is_sparse}
    assert len({config.model.d_model for name, config in found.items() if name not in sparse}) >= 3
    assert max(config.sparsity.density for config in sparse.values()) >= 0.25
    assert min(config.sparsity.density for config in sparse.values()) <= 0.01
    for name, config in sparse.items():
        _, width, size = name.split("-")
        assert config.model.d_model == int(width)
        assert sizes(config)[0] == pytest.approx(int(size.removesuffix("k")) * 1000, rel=0.012)
    grid = {(config.model.d_model, name.split("-")[2]) for name, config in sparse.items()}
    assert {(width, size) for width in (64, 128, 256) for size in ("98k", "52k", "27k")} <= grid
    assert (
        len({(config.tokens, config.batch_size, config.model.context, str(config.data)) for config in found.values()})
        == 1
    )


def test_the_main_pair_has_the_settings_of_the_family_but_for_its_length():
    pair, family_base = read_family(configs.FOLDER / "main"), read_family(configs.FOLDER / "family")["dense-64"]
    assert any(config.sparsity.is_sparse for config in pair.values())
    for config in pair.values():
        assert config.tokens > family_base.tokens
        for name in ("batch_size", "seed", "dtype"):
            assert getattr(config, name) == getattr(family_base, name)
        assert config.data == replace(family_base.data, tokens=config.tokens)
