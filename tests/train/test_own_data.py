"""`train` with one's own data, from the command: a path is enough, failures leave nothing, runs become longer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml

from sparsegpt2 import UserError
from sparsegpt2.commands import train as command
from sparsegpt2.settings import run, settings_from
from sparsegpt2.sparsity.schedule import density_at, learning_rate_at
from sparsegpt2.text.corpus import CorpusConfig
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.usercode import load_file
from train.config import TrainConfig

TINY = """
model: {context: 16, n_layer: 1, d_model: 16, d_head: 8, vocab_size: 300}
data: {vocab_size: 300}
tokens: 1280
batch_size: 8
log_every: 1
evaluations: 2
means_tokens: 256
validation_tokens: 256
held_out_tokens: 256
threads: 1
"""
TEXT = "".join(f"def name_{i}(a, b={i}):\n    return a + {i} * b  # a remark\n" for i in range(300))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The working folder, with settings and a folder of own text."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.py.gz").write_bytes(gzip.compress(TEXT.encode()))
    return tmp_path


def train(capfd, *flags: str, status: int = 0) -> str:
    found = run(command.train, ["tiny.yaml", *flags])
    told = capfd.readouterr()
    assert found == status, told
    return told.err if status else told.out


def settings(*arguments: str) -> TrainConfig:
    return settings_from(command.train_parser().parse(list(arguments)), TrainConfig)


# --- A path is enough -----------------------------------------------------------------------------------------------


def test_a_path_is_enough(here, capfd):
    told = train(capfd, "--data.path", "mine", "--out", "run")
    assert "mine: reads 1 file (1 as text)" in told and "model: run/best" in told
    assert yaml.safe_load((here / "run" / "config.yaml").read_text())["data"]["corpora"][0] == {
        "name": "files",
        "weight": 1.0,
        "path": "mine",
        "text_field": "text",
        "sample_by": "document",
        "subset": None,
        "split": "train",
        "site_packages": False,
    }


def test_the_short_settings_of_a_path_and_a_field(tmp_path):
    def corpora(*arguments):
        return settings(*arguments).data.corpora

    files = CorpusConfig(name="files", path="src")
    assert corpora("--data.path", "src") == [files]
    assert corpora("--data", "{path: src}") == [files]
    assert corpora("--data.text_field", "words", "--data.path", "src") == [
        CorpusConfig(name="files", path="src", text_field="words")
    ]
    config = tmp_path / "a.yaml"
    config.write_text("data: {path: other, tokens: 500}\n")
    assert corpora(str(config), "--data.path", "src") == [files]
    assert corpora(str(config), "--data.corpora", "[{name: stdlib}]") == [CorpusConfig(name="stdlib")]
    config.write_text("data: {corpora: [{name: files, path: src, weight: 2}]}\n")
    assert corpora(str(config), "--data.text_field", "words") == [
        CorpusConfig(name="files", path="src", text_field="words", weight=2)
    ]
    assert corpora("--data.corpora", "[{name: tinypython}]", "--data.path", "src") == [files]
    with pytest.raises(UserError, match=r"--data\.path needs a value"):
        settings("--data.path")


# --- Tokenizers and tasks -------------------------------------------------------------------------------------------


def test_the_start_says_how_many_tasks_can_be_posed(here, capfd):
    told = train(capfd, "--data.path", "mine", "--out", "run")
    assert "this tokenizer can pose 1 of 20 tasks; --data.tokenizer zoo:memory-768 --model.vocab_size 2048" in told
    assert "can pose" not in train(capfd, "--data.path", "mine", "--out", "run", "--tokens", "2560")  # resumed


def test_the_tokenizer_that_is_proposed_can_pose_all(capfd):
    command.greet(Tokenizer.load(command.REUSED))
    assert capfd.readouterr().out == "this tokenizer can pose 20 of 20 tasks\n"


def test_every_way_to_name_a_tokenizer(here, capfd):
    train(capfd, "--data.path", "mine", "--out", "run")
    fingerprint = Tokenizer.load("run").fingerprint
    for name in ("run", "run/best", "run/best/tokenizer.json", "runs/data"):
        if name == "runs/data":
            name = str(next((here / name).glob("*/tokenizer.json")).parent)
        train(capfd, "--data.path", "mine", "--data.tokenizer", name, "--out", f"with-{name.replace('/', '-')}")
        assert Tokenizer.load(f"with-{name.replace('/', '-')}").fingerprint == fingerprint
    told = train(capfd, "--data.path", "mine", "--data.tokenizer", "zoo:memory-768", "--out", "other", status=2)
    assert "the tokenizer has 2048 tokens, the model vocab_size=300; make them equal: --model.vocab_size 2048" in told


# --- Failures -------------------------------------------------------------------------------------------------------


def test_a_failed_start_leaves_nothing_and_its_correction_begins(here, capfd):
    (here / "b.jsonl").write_text('{"words": "a few more words"}\n' * 1_000)
    before = sorted(here.rglob("*"))
    for flags, sentence in (
        (["--data.path", "nowhere"], "nowhere is neither a file"),
        (["--data.path", "b.jsonl"], "--data.text_field NAME"),
        (["--data.path", "mine", "--model.context", "10000"], "too little text: "),
        (["--data.path", "mine", "--data.vocab_size", "400"], "--model.vocab_size 400"),
        (["--data.path", "mine", "--init", "zoo:memory-768"], "use the shape of that model (--model."),
        (["--data.path", "mine", "--data.tokenizer", "nowhere"], "tokenizer nowhere does not exist"),
    ):
        told = train(capfd, *flags, "--out", "run", status=2)
        assert sentence in told and told.count("\n") == 1
        assert sorted(here.rglob("*")) == before
    train(capfd, "--data.path", "b.jsonl", "--data.text_field", "words", "--out", "run")


def test_a_checkpoint_that_knows_only_its_tokenizer_refuses_another(here, capfd):
    train(capfd, "--data.path", "mine", "--out", "run")
    for name in ("progress.json", "config.json"):
        values = json.loads((here / "run" / "last" / name).read_text())
        for key in ("belongs_to", "files", "sha256"):  # of earlier versions
            values.pop(key, None)
        (here / "run" / "last" / name).write_text(json.dumps(values))
    train(capfd, "--data.path", "mine", "--out", "run")
    (here / "mine" / "b.py").write_text("class Other:\n    pass\n" * 400)
    told = train(capfd, "--data.path", "mine", "--out", "run", "--tokens", "2560", status=2)
    assert "was trained with another tokenizer" in told


# --- Longer, elsewhere ----------------------------------------------------------------------------------------------


def test_a_longer_run_goes_on_where_a_run_of_that_length_would_be(here, capfd):
    """As documented at `tokens`: the schedules are functions of the share of the new length."""
    sparse = ["--data.path", "mine", "--sparsity.density", "0.3", "--sparsity.min_alive", "0", "--out", "run"]
    sparse += ["--sparsity.anneal_end", "0.8"]
    train(capfd, *sparse)
    train(capfd, *sparse, "--tokens", "2560")
    lines = [json.loads(line) for line in (here / "run" / "metrics.jsonl").open()]
    assert [line["step"] for line in lines] == list(range(1, 21))
    config = settings("tiny.yaml", *[flag for flag in sparse if flag not in ("--out", "run")])
    for line in lines:
        share = line["step"] / (10 if line["step"] <= 10 else 20)
        assert line["density"] == pytest.approx(density_at(share, config.sparsity))
        assert line["lr"] == pytest.approx(learning_rate_at(share, config.optimizer, config.sparsity))
    assert lines[9]["density"] == pytest.approx(0.3) and lines[10]["density"] > 0.5  # density rises again
    assert lines[9]["lr"] == 0 and lines[10]["lr"] > 0  # and so does the rate
    whole = json.loads((here / "run" / "best" / "config.json").read_text())["info"]
    assert whole["density"] == pytest.approx(0.3) and whole["step"] == 20
    told = train(capfd, *sparse, "--tokens", "1280", status=2)
    assert "tokens is 2560, now 1280 (" in told


def test_what_may_change_when_a_run_goes_on(here, capfd):
    train(capfd, "--data.path", "mine", "--out", "run")
    moved = ["--device", "cpu", "--threads", "2", "--data_folder", "elsewhere", "--checkpoint_every", "3"]
    train(capfd, "--data.path", "mine", "--out", "run", "--tokens", "2560", *moved)
    assert (here / "elsewhere").is_dir()
    told = train(capfd, "--data.path", "mine", "--out", "run", "--tokens", "2560", "--seed", "1", *moved, status=2)
    assert "holds a run with other settings: seed is 0, now 1 (" in told


# --- Byte order marks -----------------------------------------------------------------------------------------------


def test_byte_order_marks_in_settings_and_in_own_code(here, capfd):
    (here / "tiny.yaml").write_bytes(b"\xef\xbb\xbf" + TINY.lstrip().encode())
    (here / "task.py").write_bytes(b"\xef\xbb\xbfTASK = 'a mark'\n")
    train(capfd, "--data.path", "mine", "--out", "run")
    assert load_file(here / "task.py").TASK == "a mark"
