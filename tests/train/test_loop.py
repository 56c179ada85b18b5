"""Training: exact resume after SIGKILL, golden losses, NaN, wrong settings, told by running the command."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from sparsegpt2 import GPTConfig, UserError, load_model
from sparsegpt2.commands.train import train as main
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.model.sites import node_sites
from sparsegpt2.settings import run
from train import loop
from train.config import TrainConfig

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden_losses.json"

SETTINGS = {
    "model": {"vocab_size": 300, "context": 16, "n_layer": 1, "d_model": 32, "d_head": 8},
    "sparsity": {"density": 0.25, "min_alive": 2},
    "data": {"tokens": 30000, "vocab_size": 300, "held_out_fraction": 0.1, "tokenizer_bytes": 20000},
    "tokens": 20 * 8 * 16,
    "batch_size": 8,
    "log_every": 1,
    "evaluations": 4,
    "checkpoint_every": 3,
    "validation_tokens": 512,
    "held_out_tokens": 512,
    "means_tokens": 512,
    "threads": 1,
}


WORDS = [first + second for first in "badofimu" for second in ("ra", "ten", "sil", "ko")]
TEXT = "".join(
    f"def {WORDS[i % 31]}(a, b={i % 11}):\n    {WORDS[i % 29]} = a + b * {i % 13}\n    return {WORDS[i % 29]}\n\n"
    for i in range(60)
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict[str, Any]:
    """The small run, on a text of its own, so that golden losses do not move with the generator of the corpus."""
    folder = tmp_path_factory.mktemp("text")
    for i in range(30):
        (folder / f"{i:02d}.py").write_text(TEXT[i * 10 :])
    data = SETTINGS["data"] | {"corpora": [{"name": "files", "path": str(folder)}]}
    return SETTINGS | {"data": data, "data_folder": str(tmp_path_factory.mktemp("data"))}


def arguments(tmp_path: Path, settings: dict[str, Any], out: str) -> list[str]:
    path = tmp_path / f"{out}.yaml"
    path.write_text(yaml.safe_dump(settings))
    return [str(path), "--out", str(tmp_path / out)]


def start(tmp_path: Path, settings: dict[str, Any], out: str) -> subprocess.Popen:
    """`python -m train`, as a user runs it."""
    return subprocess.Popen(
        [sys.executable, "-m", "train", *arguments(tmp_path, settings, out)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen, status: int = 0) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return out + err


@pytest.fixture(scope="module")
def whole(tmp_path_factory, settings) -> Path:
    """The run folder of the small run, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    finish(start(folder, settings, "run"))
    return folder / "run"


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "best" / "model.safetensors") | {
        f"last.{k}": v
        for name in ("model", "optimizer")
        for k, v in load_file(folder / "last" / f"{name}.safetensors").items()
    }


def steps_done(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_a_run_killed_twice_ends_with_the_same_bits(whole, settings, tmp_path):
    for kill_after in (5, 14):
        process = start(tmp_path, settings, "killed")
        while steps_done(tmp_path / "killed") < kill_after and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads((tmp_path / "killed" / "last" / "progress.json").read_text())["step"] < 20
    finish(start(tmp_path, settings, "killed"))
    expected, found = weights(whole), weights(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name in expected:
        assert torch.equal(expected[name], found[name]), name
    untimed = [
        [
            {k: v for k, v in json.loads(line).items() if k != "tokens_per_second"}
            for line in (folder / "metrics.jsonl").open()
        ]
        for folder in (whole, tmp_path / "killed")
    ]
    assert untimed[0] == untimed[1]
    assert [line["step"] for line in untimed[0]] == list(range(1, 21))


def test_an_interruption_saves_and_says_how_to_go_on(settings, tmp_path):
    process = start(tmp_path, settings | {"tokens": 400 * 8 * 16}, "run")
    while steps_done(tmp_path / "run") < 4 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    assert "run the same command again to resume" in finish(process, status=130)
    assert json.loads((tmp_path / "run" / "last" / "progress.json").read_text())["step"] >= 4


def test_a_finished_run(whole):
    model, info = load_model(whole), model_info(whole)
    assert model.means.keys() == node_sites(model.config).keys()
    for name, parameter in model.named_parameters():
        if name.endswith("weight") and "norm" not in name:
            assert parameter.count_nonzero() == parameter.numel() // 4, name
    assert info["density"] == 0.25
    assert info["l0"] == sum(info["l0_by_tensor"].values())
    assert info["held_out_tokens"] == 512
    assert (whole / "best" / "tokenizer.json").exists()
    assert any((whole / "tensorboard").iterdir())


def test_golden_losses_of_twenty_steps(whole):
    losses = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").open()]
    assert losses == pytest.approx(json.loads(GOLDEN.read_text()), abs=0.02)


def run_here(tmp_path, settings, capsys, status: int) -> str:
    """The command inside this process; returns what it said on stderr."""
    assert run(main, arguments(tmp_path, settings, "run")) == status
    return capsys.readouterr().err


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(whole, settings, capsys):
    stamp = (whole / "best" / "model.safetensors").stat().st_mtime_ns
    run_here(whole.parent, settings, capsys, 0)
    said = run_here(whole.parent, settings | {"batch_size": 4}, capsys, 2)
    assert "batch_size is 8, now 4" in said
    assert (whole / "best" / "model.safetensors").stat().st_mtime_ns == stamp


def test_best_is_taken_only_at_the_target_density(settings, tmp_path, capsys):
    run_here(tmp_path, settings | {"evaluations": 20}, capsys, 0)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    eligible = [line["held_out_loss"] for line in lines if line["step"] >= 10]
    progress = json.loads((tmp_path / "run" / "last" / "progress.json").read_text())
    assert progress["best_loss"] == min(eligible)


def test_nan_stops_with_the_last_good_checkpoint_kept(settings, tmp_path, capsys):
    wild = settings | {"optimizer": {"lr": 1e30, "warmup": 0.5}, "checkpoint_every": 1}
    said = run_here(tmp_path, wild, capsys, 2)
    assert said.startswith("sparsegpt2: error: the loss became") and said.count("\n") == 1
    last = load_file(tmp_path / "run" / "last" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in last.values())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {"d_modl": 3}}, "d_modl"),
        ({"tokens": "many"}, "tokens"),
        ({"sparsity": {"density": 0}}, "density must be above 0"),
        ({"sparsity": {"density": 0.01}}, "min_alive=4 reserves"),
        ({"model": SETTINGS["model"] | {"vocab_size": 400}}, "tokenizer has 300 tokens"),
        ({"data": SETTINGS["data"] | {"corpora": [{"name": "files", "path": "nowhere.py"}]}}, "nowhere.py"),
    ],
)
def test_bad_settings_are_one_sentence_and_status_2(settings, tmp_path, capsys, changes, sentence):
    said = run_here(tmp_path, settings | changes, capsys, 2)
    assert said.startswith("sparsegpt2: error: ") and sentence in said and said.count("\n") == 1
    assert not (tmp_path / "run" / "last").exists()


@pytest.fixture
def half(settings, tmp_path, capsys) -> Path:
    """A run folder in the middle of its run."""
    process = start(tmp_path, settings | {"tokens": 400 * 8 * 16}, "run")
    while not (tmp_path / "run" / "last" / "progress.json").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return tmp_path / "run"


def test_a_run_whose_data_or_tokenizer_changed_is_refused_by_name(half, settings, tmp_path, capsys):
    longer = settings | {"tokens": 400 * 8 * 16}
    corpus = Path(settings["data"]["corpora"][0]["path"])
    before = (half / "last" / "model.safetensors").read_bytes()
    added = corpus / "zz.py"
    added.write_text("class Other:\n    pass\n" * 400)
    try:
        said = run_here(tmp_path, longer, capsys, 2)
        assert "was trained with another tokenizer (fingerprint " in said and "corpora have changed since" in said
        assert (half / "last" / "model.safetensors").read_bytes() == before
        progress = json.loads((half / "last" / "progress.json").read_text())
        assert set(progress["belongs_to"]) == {"data", "tokenizer"}
    finally:
        added.unlink()
    data = {**longer["data"], "seed": 3}  # recorded in the settings, but suppose somebody made them agree
    (half / "config.yaml").write_text((half / "config.yaml").read_text().replace("  seed: 0", "  seed: 3"))
    said = run_here(tmp_path, longer | {"data": data}, capsys, 2)
    assert "data.seed is 0, now 3" in said and "last/config.json" in said


def test_checkpoints_of_earlier_versions_go_on(half, settings, tmp_path, capsys):
    for name in ("progress.json", "config.json"):
        values = json.loads((half / "last" / name).read_text())
        for key in ("belongs_to", "files", "sha256"):
            values.pop(key, None)
        (half / "last" / name).write_text(json.dumps(values))
    config = yaml.safe_load((half / "config.yaml").read_text())
    del config["init"]  # a setting they had not yet
    (half / "config.yaml").write_text(yaml.safe_dump(config))
    step = json.loads((half / "last" / "progress.json").read_text())["step"]
    process = start(tmp_path, settings | {"tokens": 400 * 8 * 16}, "run")
    while process.poll() is None and json.loads((half / "last" / "progress.json").read_text())["step"] <= step:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    finish(process, 130)


def test_lost_progress_and_flipped_bits_are_one_sentence(half, settings, tmp_path, capsys):
    longer = settings | {"tokens": 400 * 8 * 16}
    for name in ("model.safetensors", "optimizer.safetensors", "progress.json"):
        path = half / "last" / name
        whole = path.read_bytes()
        place = len(whole) * 2 // 3
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        said = run_here(tmp_path, longer, capsys, 2)
        assert name in said and said.count("\n") == 1
        path.write_bytes(whole)
    (half / "last" / "progress.json").unlink()
    said = run_here(tmp_path, longer, capsys, 2)
    assert "has lost its progress.json" in said and said.count("\n") == 1
    assert (half / "last" / "model.safetensors").exists()


def test_a_second_trainer_is_told(settings, tmp_path, capsys):
    process = start(tmp_path, settings | {"tokens": 4000 * 8 * 16}, "run")
    while steps_done(tmp_path / "run") < 2 and process.poll() is None:
        time.sleep(0.002)
    said = run_here(tmp_path, settings | {"tokens": 4000 * 8 * 16}, capsys, 2)
    assert f"is in use by process {process.pid} on" in said and said.count("\n") == 1
    process.send_signal(signal.SIGINT)
    finish(process, 130)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert steps == list(range(1, len(steps) + 1))


def test_nan_in_the_last_update_is_neither_best_nor_finished(settings, tmp_path, capsys, monkeypatch):
    take = loop.take_step

    def spoil(model, optimizer, config, step, tokens, targets):
        found = take(model, optimizer, config, step, tokens, targets)
        if step == config.steps - 1:
            next(model.parameters()).data.fill_(float("nan"))
        return found

    monkeypatch.setattr(loop, "take_step", spoil)
    dense = settings | {"sparsity": {}, "evaluations": 1, "checkpoint_every": 0}
    said = run_here(tmp_path, dense, capsys, 2)
    assert "became nan at step 20; no checkpoint was saved yet" in said and said.count("\n") == 1
    assert not (tmp_path / "run" / "best").exists() and not (tmp_path / "run" / "last").exists()
    (tmp_path / "other").mkdir()
    said = run_here(tmp_path / "other", dense | {"checkpoint_every": 5}, capsys, 2)
    assert f"the last good checkpoint is in {tmp_path / 'other' / 'run' / 'last'}" in said
    progress = json.loads((tmp_path / "other" / "run" / "last" / "progress.json").read_text())
    assert progress["step"] == 15 and not progress["finished"]


def test_tensorboard_shows_each_step_once_after_a_kill_before_the_first_save(settings, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    late = settings | {"evaluations": 1, "checkpoint_every": 0}
    process = start(tmp_path, late | {"tokens": 4000 * 8 * 16}, "run")
    while steps_done(tmp_path / "run") < 5 and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finish(start(tmp_path, late, "run"))  # shorter: what holds no checkpoint is no run, and may be claimed
    board = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("loss")] == list(range(1, 21))


def test_damaged_metrics_are_set_aside_and_a_damaged_config_is_one_sentence(half, settings, tmp_path, capsys):
    longer = settings | {"tokens": 400 * 8 * 16}
    config = (half / "config.yaml").read_text()
    (half / "config.yaml").write_text("model: [unclosed")
    said = run_here(tmp_path, longer, capsys, 2)
    assert "config.yaml is damaged" in said and said.count("\n") == 1
    (half / "config.yaml").write_text(config)
    lines = (half / "metrics.jsonl").read_bytes().split(b"\n")
    (half / "metrics.jsonl").write_bytes(b"\n".join([lines[0], b"\xff\x00{", b"[1]", *lines[1:]]))
    process = start(tmp_path, longer, "run")
    while not (half / "metrics.jsonl.damaged").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert "metrics.jsonl had 2 damaged lines" in finish(process, 130)
    steps = [json.loads(line)["step"] for line in (half / "metrics.jsonl").open()]
    assert steps == list(range(1, len(steps) + 1))


def test_a_failed_command_leaves_nothing_and_its_correction_begins(settings, tmp_path, capsys):
    fresh = settings | {"data_folder": str(tmp_path / "made" / "data")}
    for wrong in (
        {"device": "tpu"},
        {"sparsity": {"density": 0.01}},
        {"model": SETTINGS["model"] | {"vocab_size": 400}},
        {"data": settings["data"] | {"corpora": [{"name": "files", "path": "nowhere.py"}]}},
    ):
        run_here(tmp_path, fresh | wrong, capsys, 2)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.yaml"]
    run_here(tmp_path, fresh, capsys, 0)


def test_changed_settings_are_told_by_their_key_alone(whole, settings, capsys):
    said = run_here(whole.parent, settings | {"model": SETTINGS["model"] | {"d_model": 64}}, capsys, 2)
    assert "model.d_model is 32, now 64, and 2 more" in said and len(said) < 400
    assert "tokens is 2560, now 1280" in run_here(whole.parent, settings | {"tokens": 10 * 8 * 16}, capsys, 2)


def test_folders_of_somebody_else_are_left_alone(settings, tmp_path, capsys):
    out = tmp_path / "run"
    for name, content in (("best/thesis.txt", "dear"), ("metrics.jsonl", '{"step": 3}\n'), ("config.yaml", "a: 1\n")):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(content)
        said = run_here(tmp_path, settings, capsys, 2)
        assert said.count("\n") == 1 and str(out / Path(name).parts[0]) in said
        assert [path.read_text() for path in out.rglob("*") if path.is_file()] == [content]
        shutil.rmtree(out)
    out.write_text("a file")
    assert "run is a file; name a folder for the run" in run_here(tmp_path, settings, capsys, 2)


def test_a_full_disk_and_a_forbidden_folder_are_one_sentence(settings, tmp_path, capsys, monkeypatch):
    def full(*arguments, **more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    monkeypatch.setattr(loop, "save_state", full)
    said = run_here(tmp_path, settings, capsys, 2)
    assert "somewhere: no space left on device; free some space" in said.splitlines()[-1]
    assert said.count("error") == 1 and "Traceback" not in said


def test_a_run_becomes_longer_and_says_so(settings, tmp_path, capsys):
    run_here(tmp_path, settings, capsys, 0)
    run_here(tmp_path, settings | {"tokens": 30 * 8 * 16, "device": "cpu"}, capsys, 0)
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert text.startswith("# tokens: 2560 until step 20, then 3840\n") and yaml.safe_load(text)["tokens"] == 3840
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    progress = json.loads((tmp_path / "run" / "last" / "progress.json").read_text())
    assert (progress["step"], progress["finished"]) == (30, True)
    assert model_info(tmp_path / "run")["density"] == 0.25


def test_a_run_begins_with_the_weights_of_a_model(whole, settings, tmp_path, capsys):
    tuned = settings | {"init": str(whole), "optimizer": {"lr": 1e-9}, "sparsity": settings["sparsity"]}
    run_here(tmp_path, tuned, capsys, 0)
    first = json.loads((tmp_path / "run" / "metrics.jsonl").open().readline())["loss"]
    last = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").open()][-1]
    assert first == pytest.approx(last, abs=0.5)
    (tmp_path / "other").mkdir()
    said = run_here(tmp_path / "other", tuned | {"model": SETTINGS["model"] | {"d_model": 16}}, capsys, 2)
    assert "has model.d_model 32, this run 16" in said


def test_a_missing_config_file(capsys):
    assert run(main, ["no.yaml"]) == 2
    assert "no.yaml does not exist" in capsys.readouterr().err


def test_evaluation_steps_end_at_the_last():
    config = TrainConfig(model=GPTConfig(context=10), tokens=1000, batch_size=10, evaluations=3)
    assert config.steps == 10
    assert config.evaluation_steps() == {3, 7, 10}
    with pytest.raises(UserError, match="sequence=20"):
        TrainConfig(model=GPTConfig(context=10), sequence=20)
