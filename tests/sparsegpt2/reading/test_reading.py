"""Circuits read: experiments on models small enough to foresee, and a page from end to end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eval_tasks.registry import get_task
from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.commands import read_page
from sparsegpt2.commands.read import read as read_command
from sparsegpt2.errors import UserError
from sparsegpt2.model.sites import node_sites
from sparsegpt2.reading import experiment as experiments
from sparsegpt2.reading.drawing import draw_circuit, most_effective, place
from sparsegpt2.reading.experiment import CHOSEN, OTHERS, RANDOM, UNTOUCHED, Claim, Patch, Prompts, Reading, reading_of
from sparsegpt2.reading.heads import heads_of, looks
from sparsegpt2.reading.measure import chosen_nodes, margins, measure
from sparsegpt2.reading.nodes import LAST, PARTING, deciding_tokens, escaped, touched
from sparsegpt2.reading.page import words_for
from sparsegpt2.settings import run
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer import ViewConfig, Viewed, circuit_data

SINGLE, DOUBLE = ord("'"), ord('"')
CLOSE_SINGLE, CLOSE_DOUBLE = 256, 257


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Bytes, and the two answers of single_double_quote."""
    return Tokenizer({**{bytes([byte]): byte for byte in range(256)}, b"')": CLOSE_SINGLE, b'")': CLOSE_DOUBLE})


@pytest.fixture(scope="module")
def model() -> GPT:
    """A bag of quotes: attention averages ' (+1) and \" (-1) over the context, and the logits of the answers follow.

    Residual channel 0 says which quote a token is, channel 1 takes the average; every other token says nothing.
    """
    torch.manual_seed(0)
    config = GPTConfig(
        vocab_size=259, context=256, d_model=8, n_layer=1, d_head=4, d_mlp=8, activation_density=1, bigram_table=False
    )
    made = GPT(config)
    with torch.no_grad():
        for parameter in made.blocks.parameters():
            if parameter.ndim == 2:
                parameter.zero_()
        made.wte.weight.zero_()
        made.wte.weight[:, 7] = 1.0  # so that no token's norm divides by nothing
        made.wte.weight[SINGLE, 0], made.wte.weight[DOUBLE, 0] = 1.0, -1.0
        attention = made.layers[0].attn
        attention.c_attn.weight[16:18, 0] = 1.0  # v channels 0 and 1 read residual channel 0; nothing reads the second
        attention.c_proj.weight[1, 0] = 50.0
        made.unembed.weight.zero_()
        made.unembed.weight[CLOSE_SINGLE, 1], made.unembed.weight[CLOSE_DOUBLE, 1] = 1.0, -1.0
    made.means = {site: torch.zeros(width) for site, width in node_sites(config).items()}
    return made


@pytest.fixture(scope="module")
def circuit(model) -> Circuit:
    nodes = {site: torch.zeros(width, dtype=torch.bool) for site, width in node_sites(model.config).items()}
    nodes["0.attn.act_in"][0] = nodes["0.attn.v"][0] = nodes["0.attn.resid_delta"][1] = True
    return Circuit(nodes=nodes, info=CircuitInfo(task="single_double_quote", pruner="node", seed=0))


@pytest.fixture(scope="module")
def data(model, circuit, tokenizer):
    task = get_task("single_double_quote", tokenizer)
    subject = Viewed(model=model, name="bag", tokenizer=tokenizer, task=task)
    return circuit_data(circuit, subject, ViewConfig(pairs=4, effect_pairs=4, score_pairs=4, examples=1))


def settings(**changes):
    return {"split": "validation", "pairs": 6, "seed": 0} | changes


def test_a_bag_of_quotes_is_found_out(model, tokenizer, data):
    """Earlier strings with the other quote turn its answer, words between the quotes do not; claims say so."""
    task = get_task("single_double_quote", tokenizer)
    tested = {one.name: one for one in reading_of(task.name).experiments}
    claims = (Claim(quantity="accuracy", level="0", at_least=0.9), Claim(quantity="accuracy", level="6", at_least=0.9))
    earlier = replace(tested["earlier_strings_of_the_other_quote"], claims=claims)  # whatever the reading predicts
    pulled = measure(earlier, model, task, data["nodes"], **settings())
    margins_of_both = [of["both"].margin for of in pulled.levels.values()]
    assert margins_of_both[0] > 0 > margins_of_both[-1] and margins_of_both == sorted(margins_of_both, reverse=True)
    assert pulled.levels["6"]["both"].accuracy == 0.0 and pulled.levels["0"]["left"].accuracy == 1.0
    assert pulled.value(claims[1]) == 0.0 and not pulled.held
    assert measure(replace(earlier, claims=claims[:1]), model, task, data["nodes"], **settings()).held
    spaced = measure(tested["distance"], model, task, data["nodes"], **settings())
    assert {of["both"].accuracy for of in spaced.levels.values()} == {1.0}
    assert "'" in spaced.example or '"' in spaced.example


def test_what_is_measured_is_the_model_s_margin(model, tokenizer):
    """On one prompt, by hand: 50 times the average of the values, through the final norm."""
    batch = task_batch(model, get_task("single_double_quote", tokenizer), "test", 3, 0)
    logits = model(batch.tokens)[torch.arange(6), batch.position].float()
    right, wrong = (logits[torch.arange(6), tokens] for tokens in (batch.answer, batch.alternative))
    torch.testing.assert_close(margins(model, batch)[0], (right - wrong).detach(), atol=1e-4, rtol=1e-4)


def test_a_patch_turns_the_answer_where_the_circuit_is_and_nowhere_else(model, tokenizer, data):
    task = get_task("single_double_quote", tokenizer)
    claims = (Claim(quantity="flipped", level=CHOSEN, at_least=0.9), Claim(quantity="flipped", level=OTHERS, at_most=0))
    patch = Patch(name="swap", prediction="", sites=("*.attn.v",), claims=claims)
    outcome = measure(patch, model, task, data["nodes"], **settings())
    assert "0.attn.v.0. At these sites, 1 other" in outcome.example  # the idle channel
    assert outcome.held and outcome.levels[CHOSEN]["left"].flipped == 1.0
    assert (
        outcome.levels[UNTOUCHED]["both"].accuracy > 0.9
    )  # not 1: one template has a quoted default before the string
    assert outcome.levels[RANDOM]["both"].flipped == outcome.levels[OTHERS]["both"].flipped == 0.0
    assert outcome.levels[CHOSEN]["left"].margin == pytest.approx(-outcome.levels[UNTOUCHED]["right"].margin, abs=1e-3)
    alone = Patch(name="swap", prediction="", nodes=("0.attn.act_in.0",), sites=(), claims=claims)
    outcome = measure(alone, model, task, data["nodes"], **settings())  # no other node there differs
    untouched, random = (outcome.levels[level]["both"] for level in (UNTOUCHED, RANDOM))
    assert outcome.held and random.margin == pytest.approx(untouched.margin) and random.flipped == 0.0
    elsewhere = measure(replace(alone, nodes=("0.attn.act_in.1",)), model, task, data["nodes"], **settings())
    assert elsewhere.unposed.startswith("0.attn.act_in.1 is not a node of this circuit")
    other_way = replace(patch, claims=(Claim(quantity="flipped", level=CHOSEN, at_most=0.5),))
    assert not measure(other_way, model, task, data["nodes"], **settings()).held


def test_the_first_nodes_are_those_of_largest_effect(model, data):
    claims = (Claim(quantity="flipped", level=CHOSEN, at_least=0.5),)
    nodes = [{**node, "effect": effect} for node, effect in zip(data["nodes"], (0.1, 0.3, 0.2), strict=True)]
    patch = Patch(name="swap", prediction="", sites=("*",), count=2, claims=claims)
    assert chosen_nodes(patch, model, nodes) == {"0.attn.v": [0], "0.attn.resid_delta": [1]}
    assert chosen_nodes(replace(patch, sites=("1.*",)), model, nodes) == {}


def test_deciding_tokens_and_answers_are_found_in_the_weights(model, tokenizer, data):
    batch = task_batch(model, get_task("single_double_quote", tokenizer), "validation", 4, 0)
    assert set(deciding_tokens(batch)) == {SINGLE, DOUBLE}
    reads, value, writes = touched(model, tokenizer, data, batch)
    assert reads.where == value.where == PARTING and writes.where == LAST
    assert value.left == -value.right > 0 and writes.left > 0 > writes.right
    assert dict(reads.deciding) == {"'": 1.0, '"': -1.0} and reads.push is None
    assert value.deciding == [] and value.push is None
    assert writes.push == 2.0


def test_a_head_without_scores_looks_everywhere_alike(model, tokenizer, data):
    """q and k are zero: every token seen gets as much as the sink, whose logit is zero too."""
    batch = task_batch(model, get_task("single_double_quote", tokenizer), "validation", 3, 0)
    (look,) = looks(model, batch, heads_of(data["nodes"]))
    seen = batch.position.float() + 2
    assert (look.layer, look.head) == (0, 0) and look.sink == pytest.approx(float((1 / seen).mean()), rel=1e-4)
    assert look.parting == pytest.approx(look.sink, rel=1e-4)  # they part at one token
    space = (batch.tokens == ord(" ")) & (torch.arange(batch.tokens.shape[1]) <= batch.position[:, None])
    assert dict(look.tokens)[ord(" ")] == pytest.approx(float((space.sum(dim=1) / seen).mean()), rel=1e-4)


def test_nodes_of_large_effect_bring_what_joins_them(data):
    """The reader (0) and the writer (2) are not joined; the value (1) is, to both."""
    nodes = [{**node, "effect": effect} for node, effect in zip(data["nodes"], (0.1, 0.0, 0.3), strict=True)]
    assert most_effective({**data, "nodes": nodes}, 2) == [1, 2]
    assert most_effective({**data, "nodes": nodes}, 1) == [2] and most_effective({**data, "nodes": nodes}) == [0, 1, 2]


def test_nodes_stand_in_rows_from_bottom_to_top(data):
    placed = place(data, range(len(data["nodes"])))
    assert [site for site, _ in placed.rows] == ["0.attn.act_in", "0.attn q k v", "0.attn.resid_delta"]
    heights = [placed.position[node][1] for node in range(3)]
    assert heights == sorted(heights) and len(set(heights)) == 3
    figure = draw_circuit(data, {0: "+ '", 2: "$"})
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"0", "v0", "1", "h0", "+ '", "50"} <= set(texts)


# --- The page -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory, model, tokenizer, circuit) -> Path:
    """A folder with the model as `bag`, its circuit and an empty one."""
    folder = tmp_path_factory.mktemp("reading")
    save_model(model, folder / "bag", info={"held_out_loss": 4.5, "commit": "abc"}, tokenizer=tokenizer)
    circuit.save(folder / "quote.json")
    nothing = {site: torch.zeros_like(kept) for site, kept in circuit.nodes.items()}
    replace(circuit, nodes=nothing).save(folder / "empty.json")
    replace(circuit, info=CircuitInfo()).save(folder / "nameless.json")
    return folder


def read(made: Path, *circuits: str, out: str = "out", pairs: int = 2) -> int:
    files = [str(made / name) for name in circuits]
    arguments = [str(made / "bag"), *files, "--out", str(made / out), "--pairs", str(pairs), "--windows", "2"]
    return run(read_command, arguments)


def test_a_page_from_end_to_end(made, circuit, model, tokenizer):
    assert read(made, "quote.json") == 0
    page = (made / "out.md").read_text()
    for wanted in (
        "**bag**",
        "held-out loss 4.500",
        "commit abc",
        "0.attn.v.0 (h0)",
        "| layer 0, head 0 |",
        "not held",
        "--pairs 2",
    ):
        assert wanted in page, wanted
    assert read_page.circuit_fingerprint(circuit, model, tokenizer) in page
    figures = {line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")}
    assert "out/single_double_quote.png" in figures and len(figures) > 5
    assert all((made / figure).stat().st_size < 150_000 for figure in figures)
    found = json.loads((made / "out" / "single_double_quote.json").read_text())
    assert set(found) == {one.name for one in reading_of("single_double_quote").experiments}
    again = (made / "out" / "single_double_quote.json").read_bytes()
    assert read(made, "quote.json") == 0 and (made / "out" / "single_double_quote.json").read_bytes() == again


def test_an_empty_circuit_has_a_page(made):
    assert read(made, "empty.json", out="nothing") == 0
    page = (made / "nothing.md").read_text()
    assert "The circuit is empty" in page and "single_double_quote.png" not in page
    assert "Not measured: the circuit has no nodes at these sites" in page


def test_words_are_shown_beside_their_own_circuit_only(tmp_path):
    (tmp_path / "quotes.md").write_text("circuit: 123abc\n\nIt counts quotes.\n")
    assert words_for("quotes", "123abc", tmp_path) == ("It counts quotes.", "")
    words, missing = words_for("quotes", "fff000", tmp_path)
    assert not words and "123abc" in missing and "fff000" in missing
    assert "Nobody" in words_for("brackets", "123abc", tmp_path)[1]


def test_markup_in_tokens_is_shown_as_it_is():
    assert escaped("a_b*|<b>`") == "a&#95;b&#42;&#124;&#60;b&#62;&#96;"


# --- Mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("circuits", "pairs", "sentence"),
    [
        (["missing.json"], 2, "missing.json"),
        (["nameless.json"], 2, "does not name its task"),
        (["quote.json", "empty.json"], 2, "two of the circuits are for the task single_double_quote"),
        (["quote.json"], 0, "--pairs must be at least 1"),
    ],
)
def test_a_mistake_is_one_sentence(made, capsys, circuits, pairs, sentence):
    assert read(made, *circuits, out="wrong", pairs=pairs) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1 and not (made / "wrong.md").exists()


HOLDS = Claim(quantity="accuracy", level="1", at_least=0.5)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Claim(quantity="size", level="1", at_least=0), "margin, accuracy"),
        (lambda: Claim(quantity="loss", level="1"), "one bound"),
        (lambda: Claim(quantity="loss", level="1", at_least=0, at_most=1), "one bound"),
        (lambda: Prompts(name="A b", prediction="", axis="", levels={"1": ""}, claims=(HOLDS,)), "lower-case"),
        (lambda: Prompts(name="a", prediction="", axis="", levels={"1": ""}, claims=()), "claims nothing"),
        (lambda: Prompts(name="a", prediction="", axis="", levels={"2": ""}, claims=(HOLDS,)), "no level '1'"),
        (lambda: Patch(name="a", prediction="", sites=(), claims=(replace(HOLDS, level=CHOSEN),)), "sites or nodes"),
    ],
)
def test_an_experiment_that_makes_no_sense_says_why(make, sentence):
    with pytest.raises(UserError, match=sentence):
        make()


def test_two_experiments_of_one_name_are_told(model, data):
    one = Prompts(name="a", prediction="", axis="", levels={"1": ""}, claims=(HOLDS,))
    with pytest.raises(UserError, match="two experiments are called 'a'"):
        Reading(sides=("", ""), experiments=(one, one))
    wrong = Patch(name="b", prediction="", sites=(), nodes=("0.attn.v.99",), claims=(replace(HOLDS, level=CHOSEN),))
    with pytest.raises(UserError, match=r"no node 0\.attn\.v\.99"):
        chosen_nodes(wrong, model, data["nodes"])


def test_a_task_without_experiments_has_none_and_every_file_is_a_reading():
    assert reading_of("no_such_task").experiments == ()
    for task in experiments.READINGS.names():
        assert len(reading_of(task).experiments) >= 5
