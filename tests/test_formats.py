"""Files of earlier versions: they load, and a benchmark finished then has nothing left to do now.

Where one of these fails, the change that broke it must read the old form too, or leave the row's identity alone.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval_tasks import get_task
from eval_tasks.bench import component_cells, pruner_cells
from eval_tasks.bench.pruner_cells import PrunerCell
from eval_tasks.bench.subjects import Posed, Subject
from sparsegpt2 import GPT, UserError, load_model
from sparsegpt2.circuits import Circuit, PruneConfig, evaluate
from sparsegpt2.commands.bench import bench_parser
from sparsegpt2.commands.train import train_parser
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, score_circuits
from sparsegpt2.evidence import load_report
from sparsegpt2.model.checkpoint import model_info
from sparsegpt2.results import read_rows
from sparsegpt2.results.packed import unpacked
from sparsegpt2.settings import settings_from
from sparsegpt2.sparsity.optimizer import make_optimizer
from sparsegpt2.text.tokenizer import Tokenizer
from train.config import TrainConfig
from train.folder import check_folder
from train.state import load_state

ROOT = Path(__file__).parent.parent
OLD = ROOT / "tests" / "formats" / "0.1"
PUBLISHED = sorted((ROOT / "docs" / "results").glob("*/results.jsonl.gz"))
TEXT = "for i in range(10):\n    print(i)\n"


@pytest.fixture
def old(tmp_path, monkeypatch) -> Path:
    """A copy of the files of 0.1 as the working folder, as their paths are relative."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def train_config(*arguments):
    """What `sparsegpt2 train` makes of these arguments."""
    return settings_from(train_parser().parse(list(arguments)), TrainConfig)


def task_of(name):
    return get_task(name, Tokenizer.load("run/best"))


# --- Models and runs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["run", "run/best", "run/last", "zoo"])
def test_models_load_with_their_tokenizer_and_read_text(old, place):
    model, info = load_model(place), model_info(place)
    tokenizer = Tokenizer.load(Path(place, "best") if place == "run" else Path(place))
    ids = tokenizer.encode(TEXT)
    assert tokenizer.decode(ids) == TEXT and tokenizer.vocab_size == model.config.vocab_size == 768
    assert info["density"] == 0.3 and info["tokens"] > 0
    assert torch.isfinite(model(torch.tensor([ids]))).all()
    assert (model.means is None) == (place == "run/last")


def test_the_model_gives_the_numbers_it_gave_then(old):
    """The losses in the rows are those of the loaded model and circuits on the same test pairs."""
    rows = [row for row in read_rows("results") if row.status == "pruned"]
    assert len(rows) == 6
    model = load_model("run")
    for row in rows:
        circuit = Circuit.load(Path("results", row.circuit))
        score = evaluate(model, task_of(row.task), circuit, pairs=row.settings["test_pairs"], seed=0)
        assert score.loss == pytest.approx(row.loss, rel=1e-5)
        assert score.loss_full == pytest.approx(row.loss_full, rel=1e-5)
        assert (circuit.n_nodes, circuit.edges(model)) == (row.nodes, row.edges)


def test_a_run_can_go_on_from_its_last_state(old):
    """Its data is not kept here, so this ends where the data would be read."""
    config = train_config("run/config.yaml")
    check_folder(Path("run"), config)  # the same settings, so no complaint
    model = GPT(config.model)
    optimizer = make_optimizer(model, config.optimizer)
    progress = load_state(Path("run/last"), model, optimizer)
    assert (progress.step, progress.finished) == (59, True)
    last = load_model("run/last")
    for name, parameter in model.named_parameters():
        assert parameter.equal(dict(last.named_parameters())[name]), name
        state = optimizer.state[parameter]
        assert state["step"] == 59 and state["exp_avg"].shape == parameter.shape
    assert any(bool(state["exp_avg_sq"].any()) for state in optimizer.state.values())


def test_a_run_of_then_is_not_held_for_one_with_other_settings(old):
    """tiny.yaml, from which the run was started, still gives what run/config.yaml says, so the run can be resumed."""
    started = ("tiny.yaml", "--threads", "1", "--data_folder", "data")
    check_folder(Path("run"), train_config(*started))
    with pytest.raises(UserError, match="other settings: seed is 0, now 1"):
        check_folder(Path("run"), train_config(*started, "--seed", "1"))


# --- Circuits and reports ---------------------------------------------------------------------------------------------


def test_circuits_load(old):
    files = sorted(Path("results/circuits").rglob("*loss20*.json"))
    assert len(files) == 6
    model = load_model("run")
    for path in [Path("circuit.json"), *files]:
        circuit = Circuit.load(path)
        circuit.check(model)
        assert circuit.scores is not None and circuit.info.reached and circuit.info.curve
        assert (circuit.weights is None) == ("+trim" not in path.name)
        circuit.save("again.json")
        again = Circuit.load("again.json")
        assert again.info == circuit.info and again.edges_by_map(model) == circuit.edges_by_map(model)


def test_a_component_circuit_loads_and_scores_as_it_did(old):
    (row,) = [row for row in read_rows("results") if row.status == "discovered"]
    circuit = ComponentCircuit.load(Path("results", row.circuit))
    (score,) = score_circuits(
        load_model("run"), task_of(row.task), (circuit,), DiscoverConfig(method="eap"), pairs=16, seed=0
    )
    assert circuit.n_edges == row.components["edges_kept"] == 6
    assert score.loss == pytest.approx(row.loss, rel=1e-5)


def test_the_report_loads_and_says_what_it_said(old):
    report = load_report("circuit.evidence.json")
    assert set(report.findings) == {"necessity", "sufficiency"}
    written = json.loads(Path("circuit.evidence.json").read_text())
    assert (report.summary(), report.verdict) == (written["summary"], written["verdict"])
    assert {name: finding["says"] for name, finding in written["findings"].items()} == {
        name: finding.says for name, finding in report.findings.items()
    }


def test_a_circuit_is_viewed(old, command):
    status, _, err = command("view", "circuit.json", "--out", "page.html", "--windows", "0")
    assert status == 0, err
    assert "single_double_quote" in Path("page.html").read_text()


# --- Rows and what is finished ----------------------------------------------------------------------------------------

BENCH = {"--tasks": "[single_double_quote,if_equals]", "--target_losses": "[20.0]"}
BENCH |= {"--pruners": "[node,edge+trim,node+tied+trim]", "--test_pairs": "32"}
BENCH |= {"--prune.steps": "30", "--prune.validation_pairs": "16", "--out": "results"}
DISCOVER = {"--task": "single_double_quote", "--method": "eap", "--sparsity": "0.5", "--test_pairs": "16"}
DISCOVER |= {"--out": "results"}


def flags(settings):
    return [part for pair in settings.items() for part in pair]


def test_a_finished_benchmark_has_nothing_left_to_do(old, command, monkeypatch):
    """The commands that wrote these rows (tests/formats/README.md), again: nothing is pruned, nothing is written."""
    for module, name in ((pruner_cells, "rank_nodes"), (component_cells, "discover")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("found again what was there"))
    monkeypatch.setattr(PrunerCell, "standing", lambda *_: pytest.fail("a row is missing"))
    written = Path("results/results.jsonl").read_bytes()
    status, out, err = command("bench", "run", *flags(BENCH))
    assert status == 0, err
    assert "0.696 (0.697)" in out and "1.435 (1.350)" in out  # the rows, in its table
    status, out, err = command("discover", "run", *flags(DISCOVER))
    assert status == 0, err
    assert "eap at sparsity 0.5: 6 of 13 edges" in out
    assert Path("results/results.jsonl").read_bytes() == written


def test_one_more_setting_is_all_it_takes_to_prune_again(old, command, monkeypatch):
    """The test above could not fail if nothing ever called these."""

    def called(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(pruner_cells, "rank_nodes", called)
    monkeypatch.setattr(component_cells, "discover", called)
    with pytest.raises(ZeroDivisionError):
        command("bench", "run", *flags(BENCH | {"--prune.steps": "31"}))
    with pytest.raises(ZeroDivisionError):
        command("discover", "run", *flags(DISCOVER | {"--sparsity": "0.6"}))


def test_an_identity_is_part_of_the_name_of_each_circuit_file():
    """So a stored name says what the identity was when the row was written."""
    for file in [OLD / "results" / "results.jsonl", *PUBLISHED]:
        named = [row for row in read_rows(file) if row.circuit]
        assert named
        for row in named:
            assert row.circuit.endswith(f"-{row.identity[:8]}.json"), f"{file}: {row.circuit}"


@pytest.mark.parametrize("file", [OLD / "results" / "results.jsonl", *PUBLISHED], ids=lambda file: file.parent.name)
def test_todays_settings_give_the_identities_of_earlier_rows(file):
    """Read back into today's settings and planned again, each kind of row is the very same cell."""
    kinds = {}
    for row in read_rows(file):
        if not row.of_components:
            kinds.setdefault((row.pruner, row.seed, row.target_loss, json.dumps(row.settings)), row)
    assert kinds
    for row in kinds.values():
        assert planned(row).identity(row.target_loss, planned(row).settings) == row.identity
        changed = replace(row, settings={**row.settings, "steps": row.settings["steps"] + 1})
        assert planned(changed).identity(row.target_loss, planned(changed).settings) != row.identity


def planned(row):
    """The cell that asks for this row today."""
    settings = dict(row.settings)
    target, test_pairs, trials = settings.pop("ranking_target"), settings.pop("test_pairs"), settings.pop("tune", 0)
    evidence, check = settings.pop("evidence", None), None
    if evidence is not None:  # under the names that its settings had then, such as `dear`
        check = bench_parser().parse(["model", "--out", "results", "--check", json.dumps(evidence)]).check
    prune = PruneConfig(pruner=row.pruner, seed=row.seed, target_loss=target, **settings)
    subject = Subject(row.model, row.model_path, row.fingerprint, None, {})
    posed = Posed(row.task, None, "", row.task_fingerprint)
    return PrunerCell(subject, posed, prune, (row.target_loss,), test_pairs, trials, check=check)


def test_published_rows_all_parse_and_use_todays_words():
    assert len(PUBLISHED) >= 2
    for file in PUBLISHED:
        rows = read_rows(file)
        lines = [json.loads(line) for line in unpacked(file).decode().splitlines()]
        for row, line in zip(rows, lines, strict=True):
            assert row.status == {"has not": "lacks the task"}.get(line["status"], line["status"])
            assert (row.edges, row.loss) == (line["edges"], line["loss"])
        assert {row.status for row in rows} == {"pruned", "lacks the task"}
