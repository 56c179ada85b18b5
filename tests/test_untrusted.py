"""Files from others: what they name is never followed out of its folder, what they hold is never run or drawn."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import torch

from eval_tasks.base import PairTask
from sparsegpt2 import GPT, GPTConfig
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.errors import UserError
from sparsegpt2.interop import graph
from sparsegpt2.interop.card import plain, yaml_block
from sparsegpt2.locate import zoo
from sparsegpt2.report.style import to_svg
from sparsegpt2.report.training import read_metrics, training_figure
from sparsegpt2.results import read_rows, write_table
from sparsegpt2.settings.yaml_file import parse_yaml
from sparsegpt2.text.tokenizer import SPLIT_PATTERN, Tokenizer
from sparsegpt2.zoo.export import card

BYTES = {bytes([byte]): byte for byte in range(256)}
EVIL = "</script>|`[x](y)\n```\n<b>"


def change(path, key, value):
    """Set one value of a JSON file. key: `a.b.c`."""
    values = json.loads(path.read_text())
    inner = values
    *outer, last = key.split(".")
    for part in outer:
        inner = inner[int(part) if isinstance(inner, list) else part]
    inner[last] = value
    path.write_text(json.dumps(values))
    return path


# --- Tables, cards, figures -----------------------------------------------------------------------------------------


def test_no_cell_of_a_table_is_a_formula(tmp_path):
    texts = ["=1+1", "+1", "-x", "@A1", "\t=1", "\r=1", "a=1", "", "é"]
    path = write_table(tmp_path / "t.csv", [{"text": text, "n": -1.5, "=head": None} for text in texts])
    with path.open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head == ["text", "n", "'=head"]
    assert [line[0] for line in lines] == [*(f"'{text}" for text in texts[:5]), "' =1", *texts[6:]]
    assert {line[1] for line in lines} == {"-1.5"}  # numbers stay numbers


def test_a_card_shows_text_as_text(random_model):
    info = {
        "commit": EVIL,
        "seed": 1,
        "density": 0.5,
        "train": {"data": {"corpora": [{"path": EVIL, "name": "files"}]}},
    }
    benchmark = {"pruner": EVIL, "target_loss": 0.15, "seeds": [0], "settings": {"x": EVIL}, "had": 1, "counted": 0}
    cell = {"has_task": True, "counts": False, "loss_full": 0.1, "loss": None, "edges": None, "edges_trimmed": None}
    benchmark |= {"edges": None, "tasks": {EVIL: cell}, "commit": EVIL, "machine": EVIL}
    text = card(random_model, {**info, "benchmark": benchmark, "rounded": {EVIL: "x"}}, "mine")
    outside, fence = [], ""
    for line in text.split("\n"):
        mark = line[: len(line) - len(line.lstrip("`"))]
        if len(mark) >= 3:
            fence = mark if not fence else "" if mark == fence else fence
        elif not fence:
            outside.append(line)
    assert not fence and not any("<" in line or " [x](" in line for line in outside)
    assert sum(EVIL.count("b") > 0 and "&lt;b&gt;" in line for line in outside) >= 5
    assert plain(EVIL) == "&lt;/script&gt;\\|\\`\\[x\\](y) \\`\\`\\` &lt;b&gt;"
    assert yaml_block({"a": "x ```` y"})[0] == "`````yaml"
    with pytest.raises(UserError, match="'seed' cannot be"):
        card(random_model, {"seed": []}, "mine")
    with pytest.raises(UserError, match="'seeds' cannot be"):
        card(random_model, {"benchmark": {**benchmark, "seeds": {}}}, "mine")


def test_names_in_figures_are_no_formulas(tmp_path):
    run = tmp_path / "$\\frac{$"
    run.mkdir()
    lines = [{"step": n, "tokens": 10 * n, "loss": 1 / n} for n in range(1, 5)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    drawn = to_svg(training_figure([run]))
    assert "$\\frac{$" in "".join(ElementTree.fromstring(drawn).itertext())


def test_metrics_with_a_number_that_json_has_not_are_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "tokens": 2, "loss": 3.5, "gradient_rms": Infinity}\n')
    assert read_metrics(tmp_path)[0]["gradient_rms"] is None
    for line, why in {
        '{"step": 1, "tokens": 2, "loss": NaN}': "line 1: the field 'loss' cannot be null",
        '{"tokens": 2, "loss": 3}': "line 1 lacks the field 'step'",
        '{"step": 1, "tokens": "2", "loss": 3}': "'tokens' cannot be \"2\"",
        '{"step": 1, "tokens": 2, "loss": 3, "l0": []}': "'l0' cannot be",
        "[]": "line 1 is not a JSON object",
    }.items():
        path.write_text(line + "\n")
        with pytest.raises(UserError, match=why):
            read_metrics(tmp_path)


# --- Circuits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("nodes.0.attn.q", {"width": 3_000_000_000, "kept": []}, "3,000,000,1"),
        ("nodes.0.attn.q", {"width": 0, "kept": []}, "shape"),
        ("nodes.0.attn.q", {"width": -1, "kept": []}, "shape"),
        ("nodes.0.attn.q", {"width": [8], "kept": []}, "width cannot be"),
        ("nodes.0.attn.q", {"width": 8, "kept": [8]}, "from 0 to 7"),
        ("nodes.0.attn.q", {"width": 8, "kept": 8}, "kept entries cannot be 8"),
        ("nodes", [], "nodes cannot be"),
        ("weights", {"w": {"shape": [1 << 20, 1 << 20], "kept": []}}, "entries, and at most"),
        ("weights", {"w": {"shape": [2, 2], "removed": [4]}}, "from 0 to 3"),
        ("weights", {"w": {"shape": [2, 2]}}, "lacks 'removed'"),
        ("weights", 3, "weights cannot be 3"),
        ("scores", {"0.attn.q": [1.0]}, "same sites"),
        ("info", [], "info cannot be"),
        ("info", {"seed": "0"}, "'seed' cannot be"),
        ("info", {"curve": [[1, "2", 3]]}, "'curve' cannot be"),
        ("info", {"calibration": {"scale": 1}}, "lacks 'shifts'"),
        ("info", {"calibration": {"scale": 1, "shifts": {"x": 1}}}, "is damaged"),
    ],
)
def test_a_circuit_whose_values_cannot_be_is_refused(tmp_path, random_model, make_masks, key, value, why):
    Circuit(nodes=make_masks(random_model, {}), info=CircuitInfo(seed=0)).save(tmp_path / "c.json")
    values = json.loads((tmp_path / "c.json").read_text())
    outer, _, inner = key.partition(".")
    if inner:
        values[outer][inner] = value
    else:
        values[outer] = value
    (tmp_path / "c.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"circuit file .* is damaged") as error:
        Circuit.load(tmp_path / "c.json")
    assert why in str(error.value)


def test_masks_of_weights_are_read_as_they_were_written(tmp_path, random_model, make_masks):
    name = "blocks.0.mlp.c_fc.weight"
    for share in (0.1, 0.9):
        mask = torch.rand(random_model.get_parameter(name).shape) < share
        circuit = Circuit(nodes=make_masks(random_model, {"0.attn.q": [1]}), weights={name: mask})
        circuit.save(tmp_path / "c.json")
        assert torch.equal(Circuit.load(tmp_path / "c.json").weights[name], mask)


def test_a_graph_has_no_formula_in_its_cells(tmp_path, random_model, make_masks):
    circuit = Circuit(nodes=make_masks(random_model, {"0.mlp.post_act": [1], "0.mlp.act_in": [2]}))
    graph.write_csv(graph.to_networkx(circuit, random_model), tmp_path / "g")
    with (tmp_path / "g" / "nodes.csv").open(newline="") as file:
        assert [line["id"] for line in csv.DictReader(file)] == ["0.mlp.act_in.2", "0.mlp.post_act.1"]


# --- Places ---------------------------------------------------------------------------------------------------------


def test_a_row_names_its_circuit_inside_its_folder(tmp_path, row, written):
    folder = written(tmp_path / "r", [row(circuit="circuits/a.json")])
    assert read_rows(folder)[0].circuit == "circuits/a.json"
    for place in ("/etc/passwd", "../other/a.json"):
        with pytest.raises(UserError, match="inside the results folder"):
            replace(row(), circuit=place)


def test_the_zoo_index_names_only_what_lies_in_the_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FOLDER", tmp_path)
    facts = {"n_layer": 1, "d_model": 8, "context": 8, "l0": 9, "held_out_loss": None}
    facts |= {"had": None, "tasks": 0, "counted": None, "edges": None}
    model = {"files": {"config.json": {"bytes": 1, "sha256": "0"}}, "facts": facts}
    index = tmp_path / "index.json"
    index.write_text(json.dumps({"models": {"a-1.b": model}}))
    assert zoo.names() == ["a-1.b"]
    for wrong in ({"../x": model}, {".x": model}, {"x": {**model, "files": {"../../y": {"bytes": 1, "sha256": ""}}}}):
        index.write_text(json.dumps({"models": wrong}))
        with pytest.raises(UserError, match="is not the name of"):
            zoo.index()
    for wrong in ([], {"x": {}}, {"x": {**model, "facts": {**facts, "tasks": None}}}):
        index.write_text(json.dumps({"models": wrong}))
        with pytest.raises(UserError, match=str(index)):
            zoo.index()


# --- Tokenizers, settings, tasks ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "pattern", "end", "why"),
    [
        (BYTES, "[", None, "split pattern .* cannot be used"),
        (BYTES, "x", None, "leaves out parts"),
        (BYTES, "", None, "leaves out parts|cannot"),
        ({**BYTES, b"ab": 3}, SPLIT_PATTERN, None, "must all differ"),
        ({**BYTES, b"ab": 2**40}, SPLIT_PATTERN, None, "must all differ and be from 0"),
        ({**BYTES, b"ab": -1}, SPLIT_PATTERN, None, "must all differ and be from 0"),
        ({}, SPLIT_PATTERN, None, "lacks 256"),
    ],
)
def test_a_tokenizer_that_cannot_be_is_refused(ranks, pattern, end, why):
    with pytest.raises(UserError, match=why):
        Tokenizer(ranks, pattern, end)


def test_a_pattern_that_panics_on_a_text_is_refused_there():
    tokenizer = Tokenizer(BYTES, rf"(?:a|a|aa)+(?=c)|{SPLIT_PATTERN}")
    assert tokenizer.encode("ab") == [97, 98]
    with pytest.raises(UserError, match="cannot split this text"):
        tokenizer.encode("a" * 5000 + "b")
    with pytest.raises(UserError, match="cannot split this text"):
        tokenizer.encode_batch(["a" * 5000 + "b"])


def test_an_id_without_a_token_has_a_text():
    tokenizer = Tokenizer(BYTES, end_of_text=300)
    assert tokenizer.vocab_size == 301
    assert tokenizer.token(299) == "<unused 299>" and tokenizer.decode([104, 299, 105]) == "h<unused 299>i"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.type", "WordPiece"),
        ("model.vocab", []),
        ("model.merges", {}),
        ("normalizer", {"type": "Lowercase"}),
        ("added_tokens", None),
        ("added_tokens.0.id", "299"),
        ("pre_tokenizer", "x"),
        ("pre_tokenizer.pretokenizers.0.pattern", "x"),
    ],
)
def test_a_tokenizer_file_of_another_kind_is_refused(tmp_path, key, value):
    path = change(Tokenizer(BYTES).save(tmp_path), key, value)
    with pytest.raises(UserError, match=str(path)):
        Tokenizer.load(path)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "\n".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}' if i else 'x'] * 10)}]" for i in range(9)),
            "more than 20,000",
        ),
        ("a: &a [*a]", "more than 20,000"),
        ("a: " + "[" * 90 + "]" * 90, "nested too deeply"),
        ("a: " + "[" * 3000, "nested too deeply|not valid"),
        ('a: "\\ud800"', "half a character"),
        ("a: " + "9" * 5000, "not valid YAML"),
    ],
)
def test_yaml_that_no_settings_need_is_refused(text, why):
    with pytest.raises(UserError, match=why):
        parse_yaml(text, "f")


@pytest.mark.parametrize("field", ["description", "templates", "single", "words", "everywhere", "max_differing"])
@pytest.mark.parametrize("value", [None, 1.5, {"a": 1}, [[]]])
def test_every_field_of_a_task_has_its_type(field, value):
    with pytest.raises(UserError, match=f"'{field}' cannot be"):
        PairTask(**{"description": "d", "answers": ("a", "b"), "templates": "$name", field: value})


def test_a_model_of_another_shape_is_told_before_its_circuit_is_counted(random_model, make_masks):
    circuit = Circuit(nodes=make_masks(random_model, {"0.attn.q": [1]}))
    other = GPT(GPTConfig(vocab_size=9, context=8, n_layer=1, d_model=8, d_head=4))
    with pytest.raises(UserError, match="another model"):
        circuit.edges(other)
