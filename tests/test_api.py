"""The package's face: what `import sparsegpt2` names, what it takes, and how its objects show themselves."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

import sparsegpt2
from sparsegpt2 import GPT, Circuit, GPTConfig, Results, UserError
from sparsegpt2.circuits import CircuitInfo, LossCurve, PruneConfig, rank_nodes
from sparsegpt2.components import ComponentCircuit, ComponentGraph
from sparsegpt2.components.circuit import ComponentInfo
from sparsegpt2.evidence import Estimate, Finding, Report
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.text.tokenizer import Tokenizer

ROOT = Path(__file__).parent.parent
BYTES = {bytes([byte]): byte for byte in range(256)}
EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def small() -> GPT:
    """A model of random weights that reads bytes."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=257, context=16, d_model=32, d_head=8)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.tokenizer = Tokenizer(BYTES)
    return model


# --- Names ----------------------------------------------------------------------------------------------------------


def test_the_import_is_light_and_its_parts_are_attributes():
    code = """
import time
started = time.process_time()
import sparsegpt2
assert time.process_time() - started < 0.1  # 0.02 s on an idle core
import sys
assert not {"torch", "numpy", "yaml", "tiktoken", "eval_tasks", "train"} & set(sys.modules)
sparsegpt2.GPTConfig(), sparsegpt2.UserError, sparsegpt2.__version__, dir(sparsegpt2)
assert "torch" not in sys.modules
assert sparsegpt2.circuits.find_circuit and sparsegpt2.model.gpt.GPT is sparsegpt2.GPT
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_every_public_name_is_there_and_told_to_type_checkers():
    tree = ast.parse((ROOT / "sparsegpt2" / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    told = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    parts = {name for name, module in told.items() if module == "sparsegpt2"}
    assert {name: module for name, module in told.items() if name not in parts} == sparsegpt2._HOME_OF
    assert {*sparsegpt2._HOME_OF, "__version__"} == set(sparsegpt2.__all__)
    for name in [*sparsegpt2.__all__, *parts]:
        assert getattr(sparsegpt2, name) is not None and name in dir(sparsegpt2)
    folders = {path.parent.name for path in (ROOT / "sparsegpt2").glob("*/__init__.py")}
    assert folders - {"commands", "configs", "settings"} <= parts
    with pytest.raises(AttributeError, match="no attribute 'circuit'"):
        _ = sparsegpt2.circuit
    for package in ("sparsegpt2", "train", "eval_tasks"):
        assert (ROOT / package / "py.typed").exists()


def test_files_of_the_user_s_own_hide_nothing(tmp_path):
    for name in ("train", "eval_tasks"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this file is the user's')")
    code = """
import sparsegpt2
sparsegpt2.get_task("else_elif", sparsegpt2.load_model("zoo:sparse-256"))
try:
    sparsegpt2.train({"tokens": 3}, "run")
except sparsegpt2.UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the settings must be a TrainConfig, not dict") and not (tmp_path / "run").exists()


# --- What a model reads ---------------------------------------------------------------------------------------------


def test_a_text_a_row_and_a_list_are_rows_of_one(small):
    row = torch.tensor([256, *b"def"])
    expected = small(row[None])
    for prompt in ("def", row, row.tolist(), row.int(), row.to(torch.uint16)):
        assert torch.equal(small(prompt), expected)
    _, cache = small.run_with_cache("def", "embed", remove_batch_dim=True)
    assert torch.equal(cache["embed"], small.wte(row))
    assert torch.equal(small.run_with_hooks(row, [("embed", lambda x, hook: None)]), expected)


@pytest.mark.parametrize(
    ("prompt", "kind", "sentence"),
    [
        (torch.zeros(1, 0, dtype=torch.long), UserError, "empty"),  # killed the process
        (torch.zeros(1, 0), TypeError, "whole numbers such as int64, got float32"),
        ([], UserError, "empty"),
        ([1.0, 2.0], TypeError, "got float32"),
        ([1, "a"], TypeError, "a model reads a text"),
        (None, TypeError, "a model reads a text"),
        (torch.zeros(1, 2, 3, dtype=torch.long), ValueError, r"the shape \[1, 2, 3\]"),
        ([3, 257], ValueError, "token 257 is outside the model's vocabulary, whose ids are 0 to 256"),
        ([-1, 3], ValueError, "token -1 is outside"),
        ([1] * 17, ValueError, "17 tokens do not fit"),
        ("x" * 16, ValueError, "17 tokens do not fit"),
    ],
)
def test_what_a_model_cannot_read_is_one_sentence(small, prompt, kind, sentence):
    for call in (small, small.run_with_cache, small.run_with_hooks, lambda prompt: small.loss(prompt, prompt)):
        with pytest.raises(kind, match=sentence) as caught:
            call(prompt)
        assert isinstance(caught.value, UserError)


def test_a_text_needs_a_tokenizer_and_a_folder_brings_one(small, tmp_path):
    with pytest.raises(UserError, match="no tokenizer, so it cannot read a text"):
        GPT(small.config)("def")
    sparsegpt2.save_model(small, tmp_path / "a")
    sparsegpt2.save_model(sparsegpt2.load_model(tmp_path / "a"), tmp_path / "b")  # a model keeps its tokenizer
    loaded = sparsegpt2.load_model(tmp_path / "b")
    assert loaded.tokenizer is loaded.tokenizer and loaded.tokenizer.fingerprint == small.tokenizer.fingerprint
    assert torch.equal(loaded("def"), small("def"))
    small_alone = GPT(small.config)
    small_alone.load_state_dict(small.state_dict())
    sparsegpt2.save_model(small_alone, tmp_path / "c")
    assert sparsegpt2.load_model(tmp_path / "c").tokenizer is None


def test_a_filter_that_matches_no_site_names_those_there_are(small):
    for call in (
        lambda: small.run_with_hooks("a", [(lambda name: name.endswith("hook_z"), print)]),
        lambda: small.run_with_cache("a", lambda name: "hook_z" in name),
        lambda: small.run_with_cache("a", []),
    ):
        with pytest.raises(UserError, match=r"embed, \{i\}.attn.act_in.* from 0 to 1.*blocks.\{i\}.attn.hook_q"):
            call()


# --- Sampling -------------------------------------------------------------------------------------------------------


def test_the_likeliest_tokens_one_after_the_other(small):
    rows = torch.tensor([[256, 65], [256, 66]])
    made = small.generate(rows, tokens=20)  # beyond the context of 16
    expected = rows
    for _ in range(20):
        expected = torch.cat([expected, small(expected[:, -16:])[:, -1].argmax(dim=1, keepdim=True)], dim=1)
    ended = (expected[:, 2:] == 256).any()
    assert not ended, "choose another seed: this test is about rows that go on"
    assert torch.equal(made, expected)
    assert torch.equal(small.generate(rows[0], tokens=3), expected[0, :5])
    assert small.generate("A", tokens=5) == "A" + small.tokenizer.decode(expected[0, 2:7])


def test_draws_follow_the_model_and_the_seed(small):
    rows = torch.tensor([[256, 65]]).repeat(4000, 1)
    drawn = small.generate(rows, tokens=1, temperature=0.5, seed=3)[:, -1]
    shares = torch.bincount(drawn, minlength=257) / len(drawn)
    expected = (small(rows[:1])[0, -1].detach() / 0.5).softmax(dim=0)
    assert float((shares - expected).abs().max()) < 0.03
    assert torch.equal(small.generate(rows, 1, 0.5, 3)[:, -1], drawn)
    assert not torch.equal(small.generate(rows, 1, 0.5, 4)[:, -1], drawn)


def test_an_end_of_text_ends_it(small):
    model = GPT(GPTConfig(vocab_size=257, context=16, d_model=32, d_head=8)).eval()
    model.tokenizer = small.tokenizer
    with torch.no_grad():
        model.bigram[ord("A"), 256] = model.bigram[ord("B"), ord("A")] = 100.0
    assert model.generate("B") == "BA"
    assert model.generate(torch.tensor([[66], [65]])).tolist() == [[66, 65, 256], [65, 256, 256]]
    for arguments in ({"tokens": -1}, {"temperature": -0.5}, {"temperature": float("nan")}):
        with pytest.raises(UserError, match="must be 0"):
            model.generate("B", **arguments)


# --- How things show themselves -------------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """Counts of tags, all closed, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"


def report_of(summary: str = "it holds") -> Report:
    numbers = {"loss": Estimate(0.1, None, 1, "pairs")}
    finding = Finding(verdict="fails", says=summary, numbers=numbers, details={"x": 1})
    return Report(identity="0" * 16, about={"task": "else_elif", "nodes": 3}, findings={"controls": finding})


def test_reprs_are_short(small, planted, row, fakes):
    config = PruneConfig(steps=3)
    ranking = rank_nodes(planted.model, planted.task, config)
    curve = LossCurve(planted.model, planted.task, ranking, config)
    circuit = sparsegpt2.find_circuit(planted.model, planted.task, config)
    graph = ComponentGraph(2, 4)
    task = sparsegpt2.get_task("else_elif", sparsegpt2.load_model("zoo:sparse-256"))
    sizes = f"nodes {circuit.n_nodes} of {ranking.n_nodes}"
    for thing, words in (
        (small, "2 layers, width 32, 4 heads, vocabulary 257, context 16; L0"),
        (small.tokenizer, "257 tokens, end of text 256"),
        (circuit, rf"Circuit\(planted: {sizes}, pruner node, seed 0, target 0.15"),
        (ranking, f"{ranking.n_nodes} nodes"),
        (curve, "planted: "),
        (sparsegpt2.score(planted.model, planted.task, circuit, pairs=8), "8 test pairs"),
        (ComponentCircuit(graph, graph.present), f"edges {graph.n_edges} of {graph.n_edges}"),
        (small.run_with_cache("a")[1], "22 sites: embed"),
        (row(), "sparse · for_while · node, seed 0, target 0.15: pruned, nodes 12, edges 100"),
        (task, r"PosedTask\(else_elif: .*; \d+ templates\)"),
        (task.batch("test", 2, 0), "2 pairs"),
        (report_of(), "not believable"),
    ):
        assert re.search(words, repr(thing)) and len(repr(thing)) < 300 and "\n" not in repr(thing)
    results = Results(fakes("sparse", d_model=64, l0=9000, density=0.1, loss=2.2, edges=50, tasks=6))
    assert len(repr(results)) < 300 and f"{len(results)} rows" in repr(results)
    assert repr(Results()) == "Results(no rows)"


def test_a_model_tells_its_l0_and_where_it_is_from(small):
    assert f"L0 {l0(small):,} " in repr(small)
    tied = GPT(GPTConfig(vocab_size=30, d_model=16, tied_unembedding=True, positions="learned"))
    assert f"L0 {l0(tied):,} " in repr(tied)
    assert repr(sparsegpt2.load_model("zoo:sparse-256")).startswith("GPT(zoo:sparse-256: 2 layers, width 256")
    with torch.device("meta"):
        assert "L0" not in repr(GPT(GPTConfig(d_model=16)))


def test_a_circuit_s_table_has_its_facts_and_sites(planted):
    nodes = planted.nodes
    page = Parsed(Circuit(nodes, info=CircuitInfo(task=EVIL, target_loss=0.15, reached=False))._repr_html_())
    assert EVIL in page.text and "script" not in page.tags  # as text, not as markup
    assert "0.15 not met" in page.text
    for site, channels in planted.circuit.items():
        assert re.search(rf"\n{re.escape(site)}\n{len(channels)}\n{len(nodes[site])}\n", page.text)


def test_reports_rows_and_component_circuits_are_tables(row, fakes):
    page = Parsed(report_of(EVIL)._repr_html_())
    assert EVIL in page.text and "script" not in page.tags and "controls\nfails\n" in page.text
    graph = ComponentGraph(2, 4)
    page = Parsed(ComponentCircuit(graph, graph.present, ComponentInfo(task=EVIL))._repr_html_())
    assert EVIL in page.text and f"and {graph.n_edges - 40} more" in page.text
    assert EVIL in Parsed(row(model=EVIL)._repr_html_()).text
    page = Parsed(Results([row(model=EVIL, edges=1234)] * 61)._repr_html_())
    assert page.text.count(EVIL) == 60 and "1,234" in page.text and "the first 60 of 61 rows" in page.text


def test_results_are_read_and_become_a_frame(written, fakes, tmp_path):
    rows = fakes("sparse", d_model=64, l0=9000, density=0.1, loss=2.2, edges=50, tasks=6)
    folder = written(tmp_path / "results", rows)
    read = sparsegpt2.read_results(folder)
    assert list(read) == rows and isinstance(read, Results)
    frame = read.to_pandas()
    assert len(frame) == len(rows)
    assert list(frame.edges.dropna()) == [row.edges for row in rows if row.edges is not None]


# --- Tasks by name --------------------------------------------------------------------------------------------------


def test_a_task_by_name_needs_one_that_there_is_and_a_tokenizer(small, planted):
    circuit = Circuit(planted.nodes)
    for call, sentence in (
        (lambda: sparsegpt2.find_circuit(small, "nope"), "there is no task 'nope'"),
        (lambda: sparsegpt2.find_circuit(planted.model, "else_elif"), "no tokenizer to pose the task 'else_elif'"),
        (lambda: sparsegpt2.find_circuit(small, 3), "a name such as 'else_elif'"),
        (lambda: sparsegpt2.find_circuit("zoo:sparse-256", "else_elif"), "must be a GPT, as load_model returns it"),
        (lambda: sparsegpt2.score(planted.model, planted.task, "c.json"), "must be a Circuit"),
        (lambda: sparsegpt2.collect_evidence(planted.model, planted.task, None), "must be a Circuit"),
        (lambda: sparsegpt2.score(planted.model, "else_elif", circuit), "no tokenizer to pose the task"),
    ):
        with pytest.raises(UserError, match=sentence):
            call()


def test_the_page_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    """docs/python.md, block after block, and each public name in its table."""
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python.md").read_text()
    known: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/python.md", "exec"), known)
    circuit, model, report = known["circuit"], known["model"], known["report"]
    edges = int(re.search(r"find about (\d+) edges", page).group(1))
    assert edges / 1.5 < circuit.edges(model) < 1.5 * edges
    assert circuit.info.model == "zoo:sparse-256" and known["logits"].shape[2] == 2048
    assert set(report.findings) == {"sufficiency", "necessity"}
    said = capsys.readouterr().out
    assert said.startswith("def add(") and "\nCircuit(single_double_quote: nodes" in said
    assert "ActivationCache(2 sites" in said
    written = known["page"]
    assert written == Path("quote.html") and "cytoscape" in written.read_text()
    assert 'src="quote.html"' in written._repr_html_()
    for block in re.findall(r"^```python no-run\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        for name in re.findall(r"sparsegpt2\.(\w+)", block):
            assert name in sparsegpt2.__all__
    named = [line.split("|")[1] for line in page.split("\n") if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(named))) == set(sparsegpt2.__all__)
