"""Tasks, pruners, corpora, methods and checks of one's own, each one file outside the package, through the commands."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from eval_tasks.registry import TASKS
from sparsegpt2 import GPT, GPTConfig, UserError, load_model, save_model
from sparsegpt2.circuits import Circuit, PruneConfig, find_circuit, node_means
from sparsegpt2.circuits.pruners import PRUNERS, get_joint_pruner
from sparsegpt2.components.methods import METHODS
from sparsegpt2.evidence import load_report
from sparsegpt2.evidence.registry import CHECKS
from sparsegpt2.results import read_rows
from sparsegpt2.text.corpus import CORPORA, CorpusConfig
from sparsegpt2.text.data import DataConfig, prepare
from sparsegpt2.text.tokenizer import Tokenizer

TASK = """from eval_tasks.base import PairTask

TASK = PairTask(description="close", answers=(")", "]"), templates='''
$name{{(|[}}$name2{{answer}}
''')
"""
PRUNER = """import torch
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.ranking import Ranking

SIGN = 1

def rank(model, task, config, progress=None):
    return Ranking({site: SIGN * mean.abs() for site, mean in means_of(model).items()})

def backwards(model, task, config, progress=None):
    return Ranking({site: -mean.abs() for site, mean in means_of(model).items()})
"""
CORPUS = """from sparsegpt2.text.corpus import corpus

@corpus("counting")
class Counting:
    def __init__(self, config):
        self.config = config

    def documents(self, seed):
        for index in range(1000):
            yield f"def f{index}(x):\\n    return x + {index + seed}\\n"

    def identity(self):
        return "counting"
"""
METHOD = '''"""Edges in the order they come."""
from dataclasses import dataclass
import torch
from sparsegpt2.components.discovery import by_rank

OBJECTIVE = "kl"

@dataclass(frozen=True, kw_only=True)
class Settings:
    sign: float = 1.0
    """1 or -1."""

def discover(problem, settings, progress=None):
    shape = len(problem.graph.writers), len(problem.graph.readers)
    return by_rank(problem, settings.sign * torch.arange(shape[0] * shape[1]).view(shape).float())
'''
CHECK = """from sparsegpt2.evidence import Check, Finding

BAR = 1

def run(case, progress):
    kept = sum(int(kept.sum()) for kept in case.nodes.values())
    return Finding(verdict="holds" if kept >= BAR else "fails", says=f"{kept} nodes")

CHECK = Check(asks="Is it there?", run=run)
"""
FORMATS = Path(__file__).parent / "formats/0.1"
FAST = ("--pairs", 2, "--validation_pairs", 4, "--target_loss", 50, "--dtype", "float32")
FLAGS = ("--pairs", 4, "--draws", 2, "--text_rows", 2, "--seeds", 2)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working folder: a run with a model of bytes, and a file of each kind."""
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=257, context=64, d_model=16, d_head=8, n_layer=1, activation_density=1.0)
    made = GPT(config).requires_grad_(False)
    made.means = node_means(made, torch.randint(0, 257, (4, 64)))
    save_model(made, tmp_path / "run/best", tokenizer=Tokenizer({bytes([byte]): byte for byte in range(256)}))
    files = {"closing": TASK, "magnitude": PRUNER, "counting": CORPUS, "in_turn": METHOD, "there": CHECK}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for kind in (TASKS, PRUNERS, CORPORA, METHODS, CHECKS):
        kind.introduced.clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "plugged"]:
        del sys.modules[name]


@pytest.fixture
def installed(place, monkeypatch):
    """A package that offers all five by entry points, as pip would have put it there."""
    site = place / "site"
    (site / "plugged-1.dist-info").mkdir(parents=True)
    (site / "plugged").mkdir()
    for name in ("closing", "magnitude", "counting", "in_turn", "there"):
        shutil.copy(place / f"{name}.py", site / "plugged")
    (site / "plugged-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n")
    (site / "plugged-1.dist-info/entry_points.txt").write_text(
        "[sparsegpt2.tasks]\nplugged_task = plugged.closing:TASK\n"
        "[sparsegpt2.pruners]\nplugged_pruner = plugged.magnitude:rank\n"
        "[sparsegpt2.corpora]\nplugged_corpus = plugged.counting\n"
        "[sparsegpt2.methods]\nplugged_method = plugged.in_turn\n"
        "[sparsegpt2.checks]\nplugged_check = plugged.there:CHECK\n"
    )
    monkeypatch.syspath_prepend(site)


def forms(name: str, kind: str, attribute: str) -> list:
    """The ways to name the thing in NAME.py: path, module:attribute, entry point; with the name it then has."""
    return [
        pytest.param(f"{name}.py", name, id=f"{kind}-path"),
        pytest.param(f"plugged.{name}:{attribute}", name, id=f"{kind}-module"),
        pytest.param(f"plugged_{kind}", f"plugged_{kind}", id=f"{kind}-entry-point"),
    ]


# --- Each kind, named in each way -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "name"), forms("closing", "task", "TASK"))
def test_a_task(command, place, installed, typed, name):
    status, out, err = command("prune", "run", "--task", typed, "--pruner", "random", *FAST)
    assert status == 0, err
    assert Circuit.load(place / f"run/circuits/{name}.json").info.task == name
    status, out, err = command("tasks", "--tokenizer", "run", typed)
    assert status == 0 and f"{name}: close" in out and "1 of 1 tasks can be posed" in out, err


@pytest.mark.parametrize(("typed", "name"), forms("magnitude", "pruner", "rank"))
def test_a_pruner(command, place, installed, typed, name):
    status, out, err = command("prune", "run", "--task", "closing.py", "--pruner", f"{typed}+trim_nodes", *FAST)
    assert status == 0 and f"pruner {name}+trim_nodes" in out, err
    info = Circuit.load(place / "run/circuits/closing.json").info
    assert info.pruner == info.config["pruner"] == f"{name}+trim_nodes" and info.trim == "nodes"


@pytest.mark.parametrize(("typed", "name"), forms("counting", "corpus", "Counting"))
def test_a_corpus(place, installed, typed, name):
    data = prepare(DataConfig(corpora=[CorpusConfig(name=typed)], tokens=2000, vocab_size=300), place / "data", False)
    assert "def f" in data.tokenizer.decode(data.batch("train", 0, 1, 16, seed=0)[0][0].tolist())
    request = data.manifest["request"]["corpora"][0]
    expected = name if ":" not in typed else "counting.Counting"
    assert request["name"] == expected


@pytest.mark.parametrize(("typed", "name"), forms("in_turn", "method", "discover"))
def test_a_method(command, place, installed, typed, name):
    arguments = ("run", "--task", "closing.py", "--method", typed, "--set.sign", -1, "--pairs", 2, "--test_pairs", 4)
    status, out, err = command("discover", *arguments, "--sparsity", 0.5, "--out", place / "found")
    assert status == 0 and f"closing  {name} at sparsity 0.5" in out, err
    (row,) = read_rows(place / "found")
    assert row.pruner == name and len(row.settings["method_source"]) == 16 and name in row.circuit


@pytest.mark.parametrize(("typed", "name"), forms("there", "check", "CHECK"))
def test_a_check(command, place, installed, typed, name):
    command("prune", "run", "--task", "closing.py", "--pruner", "random", "--out", "c.json", *FAST)
    checks = json.dumps([typed, "sufficiency"])
    status, out, err = command("evaluate", "c.json", "--task", "closing.py", "--checks", checks, *FLAGS)
    assert status == 0 and f"{name} " in out, err
    assert set(load_report("c.evidence.json").findings) == {name, "sufficiency"}


def test_a_corpus_named_on_the_command_line_trains_a_model(command, place):
    (place / "t.yaml").write_text(
        "model: {vocab_size: 300, d_model: 16, n_layer: 1, context: 16, d_head: 8}\n"
        "data: {tokens: 3000, vocab_size: 300, held_out_fraction: 0.2}\ntokens: 512\nbatch_size: 4\n"
    )
    corpora = "[{name: counting.py}]"
    status, _, err = command("train", "t.yaml", "--data.corpora", corpora, "--out", "made", "--device", "cpu")
    assert status == 0, err
    assert Tokenizer.load("made").vocab_size == load_model("made").config.vocab_size


# --- What depends on the content ------------------------------------------------------------------------------------


def test_an_edited_file_makes_other_rows_and_an_unchanged_one_none(command, place):
    arguments = ("bench", "run", "--tasks", '["closing.py"]', "--target_losses", "[50]", "--test_pairs", 4)
    arguments += ("--prune.pairs", 2, "--prune.validation_pairs", 4, "--out", "out")
    own = ("--pruners", '["magnitude.py", "magnitude.py:backwards", "random"]')
    for _ in range(2):
        status, _, err = command(*arguments, *own)
        assert status == 0, err
        rows = read_rows("out")
        assert [row.pruner for row in rows] == ["magnitude", "magnitude.backwards", "random"]
    assert "pruner_source" in rows[0].settings and "pruner_source" not in rows[2].settings
    assert all(Path("out", row.circuit).is_file() and row.pruner in row.circuit for row in rows)
    Path("moved").mkdir()
    shutil.move("magnitude.py", "moved/magnitude.py")
    command(*arguments, "--pruners", '["moved/magnitude.py"]')
    assert len(read_rows("out")) == 3
    Path("moved/magnitude.py").write_text(PRUNER.replace("SIGN = 1", "SIGN = 2"))
    command(*arguments, "--pruners", '["moved/magnitude.py"]')
    rows = read_rows("out")
    assert [row.pruner for row in rows][3:] == ["magnitude"] and rows[3].identity != rows[0].identity
    status, _, err = command(*arguments, "--pruners", '["moved/magnitude.py", "site/magnitude.py"]')
    assert status == 2 and "site/magnitude.py does not exist" in err


def test_an_edited_method_or_check_is_asked_again(command, place):
    discover = ("discover", "run", "--task", "closing.py", "--method", "in_turn.py", "--pairs", 2, "--test_pairs", 4)
    for text, rows in ((METHOD, 1), (METHOD, 1), (METHOD + "# edited\n", 2)):
        Path("in_turn.py").write_text(text)
        status, _, err = command(*discover, "--sparsity", 0.5, "--out", "found")
        assert status == 0 and len(read_rows("found")) == rows, err
    command("prune", "run", "--task", "closing.py", "--pruner", "random", "--out", "c.json", *FAST)
    for text, verdict in ((CHECK, "holds"), (CHECK.replace("BAR = 1", "BAR = 10**6"), "fails")):
        Path("there.py").write_text(text)
        command("evaluate", "c.json", "--task", "closing.py", "--checks", '["there.py"]', *FLAGS)
        assert load_report("c.evidence.json").findings["there"].verdict == verdict


def test_prepared_data_of_an_edited_corpus_is_prepared_again(place):
    config = DataConfig(corpora=[CorpusConfig(name="counting.py")], tokens=2000, vocab_size=300)
    first = prepare(config, place / "data", progress=False).manifest
    Path("sub").mkdir()
    shutil.copy("counting.py", "sub/counting.py")
    same = DataConfig(corpora=[CorpusConfig(name="sub/counting.py")], tokens=2000, vocab_size=300)
    assert prepare(same, place / "data", progress=False).manifest == first
    Path("counting.py").write_text(CORPUS.replace("return x +", "return x -"))
    assert prepare(config, place / "data", progress=False).manifest["request"] != first["request"]


def test_a_pruner_of_ones_own_works_from_python_too(place):
    from eval_tasks import get_task

    model, task = load_model("run"), get_task("closing.py", Tokenizer.load("run"))
    config = PruneConfig(pruner="magnitude.py", pairs=2, validation_pairs=4, target_loss=50.0)
    assert find_circuit(model, task, config).info.pruner == "magnitude"
    assert get_joint_pruner("magnitude.py") is None and get_joint_pruner("node") is not None
    assert PRUNERS.named("magnitude").name == "magnitude"


# --- Mistakes in them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("magnitude.py", "def rank(model): pass\n", "magnitude.py, line 1: rank must be a function that takes (model,"),
        ("magnitude.py", "def rank(*all):\n    return {}\n", "line 1: the pruner must return a Ranking, not dict"),
        ("magnitude.py", "def rank(*all):\n    return 1 / 0\n", "magnitude.py, line 2: ZeroDivisionError: division"),
        ("closing.py", TASK.replace("$name2", "$nmae"), "closing.py, line 3: task 'closing', template 1: there is no"),
        ("closing.py", TASK.replace("''')", "''', colour='red')"), "closing.py, line 3: TypeError: "),
    ],
)
def test_a_mistake_is_one_sentence_with_file_and_line(command, place, file, text, said):
    Path(file).write_text(text)
    status, _, err = command("prune", "run", "--task", "closing.py", "--pruner", "magnitude.py", *FAST)
    assert (status, err.count("\n")) == (2, 1) and said in err
    assert not Path("run/circuits").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\n", "counting.py, line 1: a corpus file marks one thing with @corpus, but this file marks none"),
        (CORPUS.replace("identity", "name"), "counting.py, line 4: Counting needs a method identity()"),
        (
            CORPUS.replace("self, config", "self"),
            "counting.py, line 4: Counting must be a class or function that takes a",
        ),
        (
            CORPUS + "@corpus('two')\ndef two(config): return 3\n",
            "this file marks counting, two; choose one, as FILE.py:NAME",
        ),
    ],
)
def test_a_mistake_in_a_corpus(place, text, said):
    Path("counting.py").write_text(text)
    with pytest.raises(UserError) as told:
        prepare(DataConfig(corpora=[CorpusConfig(name="counting.py")]), place / "data", progress=False)
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            METHOD.replace("OBJECTIVE", "OBJECTIF"),
            "in_turn.py, line 13: discover needs OBJECTIVE next to it, one of kl,",
        ),
        (METHOD.replace("class Settings", "class Set"), "discover needs Settings next to it, a dataclass"),
        (METHOD.replace("return by_rank(", "return list("), "in_turn.py, line 15: TypeError: "),
        (METHOD.replace("return by_rank", "by_rank"), "line 13: the method must return a Discovery, not NoneType"),
    ],
)
def test_a_mistake_in_a_method(command, place, text, said):
    Path("in_turn.py").write_text(text)
    status, _, err = command("discover", "run", "--task", "closing.py", "--method", "in_turn.py", "--pairs", 2)
    assert (status, err.count("\n")) == (2, 1) and said in err


def test_a_mistake_in_a_check(command, place):
    command("prune", "run", "--task", "closing.py", "--pruner", "random", "--out", "c.json", *FAST)
    for text, said in (
        (
            CHECK.replace("CHECK =", "CHEK ="),
            "there.py, line 9: this check file must define CHECK, but does not; did you",
        ),
        (
            CHECK.replace("case, progress", "case"),
            "there.py, line 9: CHECK must have a run that takes (case, progress)",
        ),
        (CHECK.replace("BAR else", "BAD else"), "there.py, line 7: NameError: name 'BAD' is not defined"),
    ):
        Path("there.py").write_text(text)
        status, _, err = command("evaluate", "c.json", "--task", "closing.py", "--checks", '["there.py"]', *FLAGS)
        assert (status, err.count("\n")) == (2, 1) and said in err, err


# --- Trust ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def evil(command, place):
    """A circuit file whose words are the addresses of code: it writes PWNED when it runs."""
    command("prune", "run", "--task", "closing.py", "--pruner", "random", "--out", "c.json", *FAST)
    Path("evil.py").write_text("open('PWNED', 'w')\nraise SystemExit\n")

    def write(**info) -> str:
        values = json.loads(Path("c.json").read_text())
        values["info"].update(info)
        Path("evil.json").write_text(json.dumps(values))
        return "evil.json"

    return write


@pytest.mark.parametrize("task", ["evil.py", "./evil.py", "evil:TASK", "evil.py:TASK"])
def test_the_task_that_a_circuit_names_runs_no_code(command, evil, task):
    circuit = evil(task=task)
    status, _, err = command("evaluate", circuit, *FLAGS)
    assert (status, err.count("\n")) == (2, 1) and "give it with --task FILE.py" in err
    status, _, err = command("view", circuit, "--windows", 0)
    assert status == 0 and "made without the task" in err and "give it with --task FILE.py" in err
    status, _, err = command("read", "run", circuit, "--out", "page", "--windows", 0)
    assert status == 2 and err.count("\n") == 1
    assert not Path("PWNED").exists()


@pytest.mark.parametrize("pruner", ["evil.py", "evil:rank", "evil.py+trim"])
def test_the_pruner_that_a_circuit_names_runs_no_code(command, evil, pruner):
    config = {**json.loads(Path("c.json").read_text())["info"]["config"], "pruner": pruner}
    circuit = evil(pruner=pruner, config=config)
    status, _, err = command("evaluate", circuit, "--task", "closing.py", "--checks", "[seeds]", *FLAGS)
    assert (status, err.count("\n")) == (2, 1) and "give it with --pruner FILE.py" in err
    status, _, err = command("evaluate", circuit, "--task", "closing.py", "--checks", "[necessity]", *FLAGS)
    assert status == 0, err
    assert not Path("PWNED").exists()


def test_a_circuit_of_an_own_pruner_is_judged_with_it(command, place):
    command("prune", "run", "--task", "closing.py", "--pruner", "magnitude.py", "--out", "c.json", *FAST)
    PRUNERS.introduced.clear()  # another process
    asked = ("evaluate", "c.json", "--task", "closing.py", "--checks", "[seeds]", *FLAGS)
    status, _, err = command(*asked)
    assert status == 2 and "there is no pruner 'magnitude'" in err and "--pruner FILE.py" in err
    status, out, err = command(*asked, "--pruner", "magnitude.py")
    assert status == 0 and "pruning seeds share" in out, err


# --- A run and its circuits, moved ----------------------------------------------------------------------------------


def test_circuits_lie_beside_best_and_serve_every_command_from_anywhere(command, place, monkeypatch):
    status, out, err = command("prune", "run/best", "--task", "closing.py", "--pruner", "random", *FAST)
    assert status == 0 and "run/circuits/closing.json" in out, err
    save_model(load_model("run"), "run/best", tokenizer=Tokenizer.load("run"))  # a better one, in the same place
    (place / "notebooks").mkdir()
    monkeypatch.chdir(place / "notebooks")
    shutil.move(place / "run", place / "renamed")
    circuit, task = "../renamed/circuits/closing.json", ("--task", "../closing.py")
    for arguments in (
        ("view", circuit, "--windows", 0, *task, "--out", "v.html"),
        ("view", circuit, "--text"),
        ("evaluate", circuit, *task, "--checks", "[necessity]", *FLAGS),
        ("export", "graphml", circuit, "--out", "c.graphml"),
        ("export", "csv", circuit, "--out", "c-csv"),
    ):
        status, out, err = command(*arguments)
        assert status == 0, (arguments, err)
    shutil.copy(circuit, "alone.json")
    (place / "renamed").rename(place.parent / f"{place.name}-gone")
    for arguments in (
        ("view", "alone.json"),
        ("evaluate", "alone.json"),
        ("export", "csv", "alone.json", "--out", "x"),
    ):
        status, out, err = command(*arguments)
        assert (status, err.count("\n")) == (2, 1) and "does not exist; give it with --model" in err, arguments


def test_view_of_a_run_shows_what_prune_wrote_in_old_and_new_places(command, place):
    shutil.copy(FORMATS / "run/metrics.jsonl", "run/metrics.jsonl")
    command("prune", "run", "--task", "closing.py", "--pruner", "random", *FAST)
    command("prune", "run", "--task", "closing.py", "--pruner", "random", "--out", "run/best/circuits/old.json", *FAST)
    command("evaluate", "run/circuits/closing.json", "--task", "closing.py", "--checks", "[necessity]", *FLAGS)
    status, out, err = command("view", "run", "--task", "closing.py")
    assert status == 0 and "2 circuits" in out, err
