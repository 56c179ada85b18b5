"""Where models, runs and tokenizers are found, and a circuit its model, whatever was moved."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from sparsegpt2 import load_model, save_model
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.circuits.locate import circuit_model, name_model
from sparsegpt2.errors import UserError
from sparsegpt2.locate import candidates, hub, model_directory, reference, run_folder, tokenizer_file, zoo
from sparsegpt2.model.checkpoint import model_fingerprint
from sparsegpt2.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def bytes_only() -> Tokenizer:
    return Tokenizer({bytes([byte]): byte for byte in range(256)})


@pytest.fixture
def run(tmp_path, planted, bytes_only, monkeypatch):
    """A run folder `runs/mine` in the working folder, with a best and a last checkpoint."""
    monkeypatch.chdir(tmp_path)
    for name in ("best", "last"):
        save_model(planted.model, tmp_path / "runs/mine" / name, tokenizer=bytes_only)
    return tmp_path / "runs/mine"


# --- Models and tokenizers ------------------------------------------------------------------------------------------


def test_every_form_of_a_name_gives_model_and_tokenizer(run, bytes_only, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", run.parent)
    shutil.copytree(run / "best", run.parent / "shipped")
    monkeypatch.setattr(hub, "download", lambda name, files: run.parent / "shipped")
    for name in ("runs/mine", run, "runs/mine/best", "runs/mine/last", "zoo:shipped", "hf:ada/tiny@main"):
        assert (model_directory(name) / "model.safetensors").is_file()
        assert Tokenizer.load(name).fingerprint == bytes_only.fingerprint
        assert load_model(name).config.vocab_size == 9
    assert model_directory("runs/mine").name == "best"
    assert Tokenizer.load("runs/mine/best/tokenizer.json").fingerprint == bytes_only.fingerprint
    (run.parent / "alone").mkdir()
    shutil.copy(run / "best/tokenizer.json", run.parent / "alone/tokenizer.json")
    assert Tokenizer.load(run.parent / "alone").fingerprint == bytes_only.fingerprint


def test_what_is_not_there_is_one_sentence(run):
    (run.parent / "empty").mkdir()
    for find, name, said in (
        (model_directory, "runs/gone", "model runs/gone does not exist"),
        (model_directory, "runs/empty", "runs/empty contains no model: it has no config.json"),
        (tokenizer_file, "runs/gone", "tokenizer runs/gone does not exist; give a tokenizer.json, a folder"),
        (tokenizer_file, "gone.json", "tokenizer gone.json does not exist"),
        (tokenizer_file, "runs/empty", "tokenizer runs/empty/tokenizer.json does not exist, and the folders best and"),
        (model_directory, "zoo:sparse-255", "did you mean sparse-256?"),
        (tokenizer_file, "zoo:sparse-255", "did you mean sparse-256?"),
    ):
        with pytest.raises(UserError) as told:
            find(name)
        assert said in str(told.value) and "\n" not in str(told.value)


def test_a_checkpoint_belongs_to_its_run(run):
    assert run_folder(run / "best") == run_folder(run / "last") == run
    assert run_folder(run.parent / "plain") == run.parent / "plain"


# --- Names in files -------------------------------------------------------------------------------------------------


def test_a_reference_is_relative_in_one_tree_and_absolute_outside(tmp_path):
    circuit = tmp_path / "runs/mine/circuits/for_while.json"
    assert reference(tmp_path / "runs/mine/best", circuit) == "../best"
    assert (
        reference(tmp_path / "runs/mine/best", tmp_path / "results/circuits/mine/t/c.json")
        == "../../../../runs/mine/best"
    )
    assert reference("/elsewhere/model", circuit) == "/elsewhere/model"
    assert reference("zoo:sparse-256", circuit) == "zoo:sparse-256" and reference("hf:a/b", circuit) == "hf:a/b"


def test_candidates_begin_at_the_file_and_end_at_the_working_folder(run, tmp_path, monkeypatch):
    file = run / "circuits" / "c.json"
    assert list(candidates("../best", file)) == [run / "best"]
    assert next(candidates("runs/mine/best", file)) == run / "best"
    (tmp_path / "desk/runs/mine/best").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "desk")
    assert list(candidates("runs/mine/best", file)) == [run / "best", tmp_path / "desk/runs/mine/best"]
    assert next(candidates(str(run / "best"), tmp_path / "desk/c.json")) == tmp_path / "runs/mine/best"
    assert list(candidates("no/such", file)) == []


def circuit_of(planted, model, file, fingerprint="") -> Circuit:
    circuit = name_model(Circuit(planted.nodes), model, file, fingerprint)
    file.parent.mkdir(parents=True, exist_ok=True)
    circuit.save(file)
    return circuit


@pytest.mark.parametrize(
    "place", ["runs/mine/circuits/c.json", "runs/mine/best/circuits/c.json", "out/circuits/m/t/c.json"]
)
def test_a_circuit_finds_its_model_from_any_folder_and_after_a_move(run, planted, tmp_path, monkeypatch, place):
    circuit_of(planted, run / "best", tmp_path / place)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert circuit_model(Circuit.load(tmp_path / place), f"../{place}") == run / "best"
    for part in ("runs", "out"):
        if (tmp_path / part).exists():
            (tmp_path / "moved" / "together").mkdir(parents=True, exist_ok=True)
            shutil.move(tmp_path / part, tmp_path / "moved" / "together" / part)
    moved = tmp_path / "moved" / "together"
    assert circuit_model(Circuit.load(moved / place), moved / place) == moved / "runs/mine/best"


@pytest.mark.parametrize("named", ["runs/mine", "runs/mine/best", "/gone/runs/mine/best"])
def test_a_circuit_of_earlier_versions_is_found_where_its_run_is_now(run, planted, tmp_path, monkeypatch, named):
    file = run / "circuits" / "c.json"
    circuit = replace(circuit_of(planted, run / "best", file), info=CircuitInfo(model=named))
    shutil.move(tmp_path / "runs/mine", tmp_path / "renamed")
    monkeypatch.chdir("/")
    if named.endswith("best"):
        assert circuit_model(circuit, tmp_path / "renamed/circuits/c.json") == tmp_path / "renamed/best"
    else:
        with pytest.raises(UserError, match=r"the model runs/mine that .* names does not exist; give it with --model"):
            circuit_model(circuit, tmp_path / "renamed/circuits/c.json")
    assert circuit_model(circuit, file, given=str(tmp_path / "renamed")) == tmp_path / "renamed/best"


def test_a_model_of_another_shape_or_other_weights_is_not_taken_in_silence(
    run, planted, random_model, bytes_only, tmp_path
):
    fingerprint = model_fingerprint(planted.model, bytes_only)
    file = run / "circuits" / "c.json"
    circuit = circuit_of(planted, run / "best", file, fingerprint)
    assert circuit_model(circuit, file) == run / "best"
    save_model(random_model, run / "best", tokenizer=bytes_only)
    with pytest.raises(UserError, match=r"has another shape than the circuit's model \(.*best\); give it"):
        circuit_model(circuit, file)
    planted.model.blocks[0].mlp.c_fc.weight[0, 0] += 1
    save_model(planted.model, run / "best", tokenizer=bytes_only)
    with pytest.raises(UserError, match="has other weights than the circuit's model"):
        circuit_model(circuit, file)
    planted.model.blocks[0].mlp.c_fc.weight[0, 0] -= 1
    # one that fits, further off, is taken before none
    save_model(planted.model, tmp_path / "runs/best", tokenizer=bytes_only)
    assert circuit_model(circuit, file) == tmp_path / "runs/best"


def test_a_file_has_nothing_fetched(run, planted, monkeypatch):
    fetched = []
    monkeypatch.setattr(hub, "download", lambda *asked: fetched.append(asked))
    circuit = Circuit(planted.nodes, info=CircuitInfo(model="hf:mallory/model"))
    with pytest.raises(UserError, match="a file may not start a download, so name the model yourself: --model hf:"):
        circuit_model(circuit, run / "c.json")
    with pytest.raises(UserError, match="does not name its model; give it with --model"):
        circuit_model(Circuit(planted.nodes), run / "c.json")
    assert not fetched
