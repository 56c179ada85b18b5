"""The command `evaluate`, the benchmark's evidence, and tasks in other surroundings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from eval_tasks import get_task, registry
from eval_tasks.bench import pruner_cells
from eval_tasks.bench.benchmark import BenchConfig, bench
from eval_tasks.bench.evidence import verdict_table
from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.circuits import PruneConfig, find_circuit, node_means
from sparsegpt2.circuits.task import SURROUNDINGS, VariedTask
from sparsegpt2.commands.bench import bench_parser
from sparsegpt2.commands.evaluate import evaluate_parser
from sparsegpt2.config import to_dict
from sparsegpt2.evidence import EvidenceConfig, check_names, load_report
from sparsegpt2.results import read_rows

TASK = "for_while"
FLAGS = [
    "--pairs",
    "4",
    "--draws",
    "2",
    "--minimality_pairs",
    "2",
    "--text_rows",
    "4",
    "--checks",
    "[necessity,sufficiency]",
]
PRUNE = PruneConfig(pruner="random", steps=2, pairs=2, validation_pairs=4, dtype="float32", target_loss=50.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer) -> Path:
    """An untrained model of the default tokenizer."""
    torch.manual_seed(0)
    made = GPT(GPTConfig(context=64, d_model=16, n_layer=1, activation_density=1.0)).requires_grad_(False)
    made.means = node_means(made, torch.randint(0, 2048, (4, 64)))
    path = tmp_path_factory.mktemp("evidence") / "untrained"
    save_model(made, path, tokenizer=tokenizer)
    return path


@pytest.fixture
def circuit(model, tokenizer, tmp_path) -> Path:
    """A random circuit of that model, which names its model and task."""
    found = find_circuit(load_model(model), get_task(TASK, tokenizer), PRUNE)
    found = found.noting(model=str(model))
    found.save(tmp_path / "circuit.json")
    return tmp_path / "circuit.json"


def test_evaluate_prints_and_writes_a_report(command, circuit, tmp_path):
    status, out, err = command("evaluate", circuit, *FLAGS)
    assert status == 0, err
    report = load_report(tmp_path / "circuit.evidence.json")
    assert set(report.findings) == {"necessity", "sufficiency"}
    assert report.summary() in out and "sufficiency" in out and "as no pretraining text was given" in out
    assert report.about["task"] == TASK and report.about["circuit"] == str(circuit)


def test_evaluate_reads_text_from_a_file(command, circuit, tmp_path):
    (tmp_path / "text.py").write_text("for i in range(10):\n    print(i)\n" * 100)
    status, _, err = command("evaluate", circuit, *FLAGS, "--text", tmp_path / "text.py", "--out", tmp_path / "r.json")
    assert status == 0, err
    assert load_report(tmp_path / "r.json").about["text"] == str(tmp_path / "text.py")


def test_evaluate_says_what_is_wrong_in_one_sentence(command, circuit, model, tmp_path, tokenizer):
    torch.manual_seed(0)
    wider = GPT(GPTConfig(context=64, d_model=32, n_layer=1)).requires_grad_(False)
    wider.means = node_means(wider, torch.randint(0, 2048, (1, 64)))
    save_model(wider, tmp_path / "wider", tokenizer=tokenizer)
    wider.means = None
    save_model(wider, tmp_path / "meanless", tokenizer=tokenizer)
    nameless = json.loads(circuit.read_text())
    del nameless["info"]["task"]
    (tmp_path / "nameless.json").write_text(json.dumps(nameless))
    (tmp_path / "short.txt").write_text("x = 1")
    (tmp_path / "circuit.evidence.json").write_text("{}")
    for arguments, said in (
        (["missing.json"], "circuit file missing.json does not exist"),
        ([circuit, "--model", tmp_path / "nowhere"], "nowhere does not exist"),
        ([circuit, "--model", tmp_path / "wider", "--out", tmp_path / "o.json"], "found in another model"),
        ([circuit, "--model", tmp_path / "meanless", "--out", tmp_path / "o.json"], "another model"),
        ([tmp_path / "nameless.json"], "does not name its task; give it with --task"),
        ([circuit, "--task", "nothing"], "there is no task 'nothing'"),
        ([circuit, "--checks", "[guess]"], "there is no check 'guess'"),
        ([circuit, "--text", tmp_path / "gone.txt"], "gone.txt cannot be read"),
        ([circuit, "--text", tmp_path / "short.txt"], "at least one window of 64 is needed"),
        ([circuit, "--draws", "0"], "draws must be at least 1"),
        ([circuit], "circuit.evidence.json is not an evidence file"),
    ):
        status, out, err = command("evaluate", *arguments)
        assert (status, out) == (2, "") and err.count("\n") == 1 and said in err, (arguments, err)
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize("written", [["--no-expensive"], ["--expensive", "false"], ["--dear", "false"], ["--no-dear"]])
def test_expensive_checks_can_be_left_out_by_the_old_name_too(written):
    inside_bench = [
        part.replace("no-", "no-check.").replace("--d", "--check.d").replace("--e", "--check.e") for part in written
    ]
    assert evaluate_parser().parse(["circuit.json", *written]).expensive is False
    assert bench_parser().parse(["model", "--out", "results", *inside_bench]).check.expensive is False


def test_a_settings_file_may_use_the_old_name(tmp_path):
    one, nested = tmp_path / "one.yaml", tmp_path / "nested.yaml"
    one.write_text("dear: false\n")
    nested.write_text("check:\n  dear: false\n")
    assert evaluate_parser().parse(["circuit.json", str(one)]).expensive is False
    assert bench_parser().parse(["model", "--out", "results", str(nested)]).check.expensive is False


def test_rows_store_the_setting_under_the_name_of_the_first_ones():
    assert to_dict(EvidenceConfig(expensive=False))["dear"] is False
    assert "expensive" not in to_dict(EvidenceConfig())


def test_bench_puts_evidence_into_its_rows_when_asked(model, tmp_path, monkeypatch):
    check = EvidenceConfig(checks=("necessity", "agreement"), pairs=4, draws=2, text_rows=4)
    asked = []

    def text(path, rows, context):
        asked.append((str(path), rows, context))
        return torch.randint(0, 2048, (rows, context))

    monkeypatch.setattr(pruner_cells, "training_text", text)

    def run(evidence):
        config = BenchConfig(
            tasks=(TASK,), pruners=("random",), target_losses=(50.0,), test_pairs=4, evidence=evidence, device="cpu"
        )
        return bench([model], tmp_path / "out", config, PRUNE, check, progress=False)

    (plain,) = run(False)
    assert plain.evidence is None and "evidence" not in plain.settings and not asked
    (row,) = run(True)
    assert asked == [(str(model), 4, 64)]
    assert list(row.evidence["findings"]) == ["agreement", "necessity"] and row.identity != plain.identity
    assert row.edges == plain.edges and row.loss == plain.loss
    assert load_report((tmp_path / "out" / row.circuit).with_suffix(".evidence.json")).to_dict() == row.evidence
    assert [read.evidence for read in read_rows(tmp_path / "out")] == [None, row.evidence]
    assert run(True) == [row] and len(asked) == 1  # finished
    table = verdict_table([row], "title")
    assert [column.header for column in table.columns] == ["task", "seed", "agreement", "necessity", "verdict"]
    assert set(row.evidence["findings"]) <= set(check_names())


# --- Surroundings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", registry.task_names())
def test_every_task_can_be_posed_in_other_surroundings(tokenizer, name):
    task = get_task(name, tokenizer)
    assert isinstance(task, VariedTask)
    for kind in SURROUNDINGS:
        varied = task.variant(kind, 128)
        assert varied.name == f"{name}, {kind}"
        pairs = varied.pairs("test", 6, 0)
        assert varied.pairs("test", 3, 0) == pairs[:3]
        for pair in pairs:
            assert max(len(pair.left.tokens), len(pair.right.tokens)) <= 128
            assert pair.left.answer_id != pair.right.answer_id
            shared = len(pair.left.prompt) - len(pair.left.prompt.rsplit("\n\n\n", 1)[-1])
            assert shared and pair.left.prompt[:shared] == pair.right.prompt[:shared]  # the same before both sides
    batch = task.batch("test", 2, 0)
    assert batch.tokens.equal(get_task(name, tokenizer).batch("test", 2, 0).tokens)  # the task itself is as it was


def test_longer_prompts_fill_the_room(tokenizer):
    task = get_task(TASK, tokenizer)
    plain, longer = (t.batch("test", 16, 0).position.float().mean() for t in (task, task.variant("longer", 128)))
    assert plain < 40 and longer > 100


def test_distractors_ask_the_same_with_either_answer(tokenizer):
    pairs = get_task("single_double_quote", tokenizer).variant("distractors", 128).pairs("test", 40, 0)
    answered = [pair.left.prompt.count("')") + pair.left.prompt.count('")') for pair in pairs]
    assert min(answered) >= 1
    single = [pair.left.prompt.rsplit("\n\n\n", 1)[0].count("')") > 0 for pair in pairs]
    assert 5 < sum(single) < 35


def test_words_of_distractors_are_of_the_pairs_split(tokenizer):
    from eval_tasks.words import common_pools

    pools = common_pools()
    train_only = set(pools["person"]["train"]) - set(pools["person"]["test"])
    for pair in get_task("single_double_quote", tokenizer).variant("distractors", 128).pairs("test", 40, 0):
        assert not train_only & set(pair.left.prompt.replace("'", " ").replace('"', " ").split())


def test_surroundings_that_cannot_be_are_said(tokenizer):
    task = get_task(TASK, tokenizer)
    with pytest.raises(UserError, match="a task has no variant 'upside down'; choose from longer, distractors"):
        task.variant("upside down", 128)
    with pytest.raises(UserError, match="no words of split test fit"):
        task.variant("longer", 8).batch("test", 2, 0)
