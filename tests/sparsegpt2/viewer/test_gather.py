"""What is gathered, against values worked out by hand or by the plain way."""

from __future__ import annotations

import base64
from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from sparsegpt2 import save_model
from sparsegpt2.circuits import Circuit, CircuitInfo, node_means
from sparsegpt2.circuits.locate import circuit_model
from sparsegpt2.circuits.losses import task_batch, task_loss
from sparsegpt2.circuits.score import circuit_logits
from sparsegpt2.errors import UserError
from sparsegpt2.model.sites import Record
from sparsegpt2.viewer import ViewConfig, circuit_data, evidence_beside
from sparsegpt2.viewer.activations import Text, node_activations
from sparsegpt2.viewer.attention import attention_patterns
from sparsegpt2.viewer.effects import ablation_effects
from sparsegpt2.viewer.examples import complement
from sparsegpt2.viewer.graph import shown_nodes


def by_id(data):
    return {node["id"]: node for node in data["nodes"]}


def named_edges(data) -> dict[tuple[str, str], float]:
    ids = [node["id"] for node in data["nodes"]]
    columns = zip(data["edges"]["source"], data["edges"]["target"], data["edges"]["weight"], strict=True)
    return {(ids[source], ids[target]): weight for source, target, weight in columns}


def test_nodes_edges_and_lanes_are_the_circuit_s(planted_data, planted):
    assert sorted(by_id(planted_data)) == planted.nodes
    assert named_edges(planted_data) == pytest.approx(planted.edges)
    lanes = {lane["channel"]: [planted_data["nodes"][i]["id"] for i in lane["nodes"]] for lane in planted_data["lanes"]}
    assert lanes[4] == ["0.attn.resid_delta.4", "0.mlp.act_in.4"]
    assert planted_data["hidden"] == {"nodes": 0, "edges": 0, "rule": ""}


def test_a_mask_over_weights_takes_its_edges_out(planted_circuit, subject, planted):
    name = "blocks.0.mlp.c_fc.weight"
    kept = torch.ones(8, 8, dtype=torch.bool)
    kept[7, 0] = False
    masked = replace(planted_circuit, weights={name: kept})
    data = circuit_data(masked, replace(subject, corpus=None, task=None))
    gone = ("0.mlp.act_in.0", "0.mlp.post_act.7")
    assert set(named_edges(data)) == set(planted.edges) - {gone}
    rest = complement(masked, subject.model)
    edges = {name for name, kept in rest.edges_by_map(subject.model).items() if kept}
    assert rest.edges(subject.model) == 1 and edges == {"0.mlp.act_in -> 0.mlp.post_act"}


def test_above_the_limit_the_best_ranked_nodes_stay_and_it_says_so(planted_circuit, subject):
    scores = {site: torch.zeros(len(kept)) for site, kept in planted_circuit.nodes.items()}
    for site, channel in (("0.mlp.act_in", 4), ("0.mlp.post_act", 5), ("0.mlp.resid_delta", 6)):
        scores[site][channel] = 1.0
    bare = replace(subject, corpus=None, task=None)
    data = circuit_data(replace(planted_circuit, scores=scores), bare, ViewConfig(max_nodes=3))
    assert sorted(by_id(data)) == ["0.mlp.act_in.4", "0.mlp.post_act.5", "0.mlp.resid_delta.6"]
    assert data["hidden"]["nodes"] == 10 and data["hidden"]["edges"] == 6 and "3 nodes" in data["hidden"]["rule"]
    data = circuit_data(planted_circuit, bare, ViewConfig(max_edges=2))
    assert sorted(map(abs, data["edges"]["weight"])) == [2.0, 3.0]
    assert data["hidden"]["edges"] == 6 and "largest weights" in data["hidden"]["rule"]


def test_activations_are_those_of_the_model_whatever_the_batch(planted_model, planted_circuit, subject):
    shown = shown_nodes(planted_circuit, planted_model, 100)
    lengths = torch.tensor([16 - i % 5 for i in range(len(subject.corpus))])
    text = Text(subject.corpus, lengths)
    found = node_activations(planted_model, text, shown, batch_size=3, seed=0, progress=None, what="")
    assert found == node_activations(planted_model, text, shown, batch_size=50, seed=0, progress=None, what="")
    record = Record()
    planted_model(subject.corpus, site=record)
    valid = torch.arange(16) < lengths[:, None]
    for (site, channel), one in zip(shown.nodes, found, strict=True):
        values = record.values[site][..., channel]
        inside = values[valid]
        assert one["high"] == pytest.approx(float(inside.max()), rel=1e-4)
        assert one["low"] == pytest.approx(float(inside.min()), rel=1e-4)
        assert one["mean"] == pytest.approx(float(inside.mean()), rel=1e-3, abs=1e-4)
        assert sum(one["counts"]) == int((inside != 0).sum())
        for snippet in [*one["top"], *one["bottom"], *one["random"]]:
            row = values[snippet["row"], snippet["start"] : snippet["start"] + len(snippet["values"])]
            shares = torch.tensor(snippet["values"]) / 100 * one["scale"]
            torch.testing.assert_close(shares, row, atol=one["scale"] * 0.0051, rtol=0)
            assert snippet["start"] + len(snippet["values"]) <= lengths[snippet["row"]]
        best = one["top"][0]
        assert float(values[best["row"], best["peak"]]) == pytest.approx(float(inside.max()))


def test_snippets_of_rows_that_begin_alike_are_shown_once(planted_model, planted_circuit):
    tokens = torch.tensor([[9, 8, 7, 1], [9, 8, 7, 2], [9, 8, 7, 3], [5, 6, 4, 1]])
    text = Text(tokens, torch.full((4,), 4))
    shown = shown_nodes(planted_circuit, planted_model, 100)
    for one in node_activations(planted_model, text, shown, batch_size=2, seed=0, progress=None, what=""):
        for kind in ("top", "bottom"):
            contexts = [tuple(tokens[snippet["row"], : snippet["peak"] + 1].tolist()) for snippet in one[kind]]
            assert len(contexts) == len(set(contexts)) > 1
            assert tokens[3].tolist()[:1] in [list(context[:1]) for context in contexts]


def test_progress_reaches_its_end(planted_circuit, subject):
    calls = []
    circuit_data(planted_circuit, subject, ViewConfig(pairs=2), progress=lambda *call: calls.append(call))
    ends = {what for done, total, what in calls if done == total}
    assert {what.split(":")[0] for what in ends} == {
        "effects in the circuit",
        "effects in the whole model",
        "corpus",
        "task",
    }


@pytest.mark.parametrize("masked", [False, True])
def test_effects_are_losses_without_one_node(planted_model, planted_circuit, subject, masked):
    weights = None
    if masked:
        weights = {"blocks.0.mlp.c_fc.weight": torch.ones(8, 8, dtype=torch.bool)}
        weights["blocks.0.mlp.c_fc.weight"][5, 4] = False
        planted_circuit = replace(planted_circuit, weights=weights)
    planted_model = deepcopy(planted_model)
    planted_model.means = node_means(planted_model, subject.corpus)  # so that ablating does something
    batch = task_batch(planted_model, subject.task, "validation", 2, 0)
    shown = shown_nodes(planted_circuit, planted_model, 100)
    effects, effects_full = ablation_effects(planted_model, planted_circuit, batch, shown)

    def loss(nodes, weights=None) -> float:
        circuit = Circuit(nodes=nodes, weights=weights)
        return float(task_loss(circuit_logits(planted_model, circuit, batch), batch).mean())

    everything = {site: torch.ones_like(kept) for site, kept in planted_circuit.nodes.items()}
    for base, kept, found in ((planted_circuit.nodes, weights, effects), (everything, None, effects_full)):
        for (site, channel), effect in zip(shown.nodes, found, strict=True):
            without = {name: kept.clone() for name, kept in base.items()}
            without[site][channel] = False
            assert effect == pytest.approx(loss(without, kept) - loss(base, kept), abs=1e-5)
    assert max(map(abs, effects)) > 1e-5


def test_patterns_are_softmax_over_keys_and_sink(planted_model, planted_circuit, subject):
    batch = task_batch(planted_model, subject.task, "validation", 1, 0)
    shown = shown_nodes(planted_circuit, planted_model, 100)
    patterns = attention_patterns(planted_model, planted_circuit, batch, shown, limit=10**6)
    assert list(patterns["heads"]) == ["0.0"] and patterns["left_out"] == [] and patterns["pairs"] == 1
    record = Record()
    planted_model(batch.tokens, site=record)
    q, k = (record.values[f"0.attn.{part}"][0, :, :4] for part in "qk")
    whole = base64.b64decode(patterns["heads"]["0.0"][0]["full"])
    expected = []
    for query in range(3):
        scores = [float(q[query] @ k[key]) / 2 for key in range(query + 1)]
        shares = torch.tensor([*scores, float(planted_model.layers[0].attn.sink[0].detach())]).softmax(dim=0)
        expected += (shares * 255).round().int().tolist()
    assert list(whole) == expected
    assert attention_patterns(planted_model, planted_circuit, batch, shown, limit=10)["left_out"] == ["0.0"]


def test_examples_give_the_probabilities_of_all_three(planted_data, planted_model, planted_circuit, subject):
    side = planted_data["task"]["pairs"][0][0]
    assert side["tokens"] == [257, 256, 1] and side["answer"] == "\x02" and side["alternative"] == "\x04"
    logits = planted_model(torch.tensor([side["tokens"]]))[0, -1]
    p = logits.detach().softmax(dim=0)
    assert side["full"]["answer"] == pytest.approx(float(p[2]), rel=1e-3)
    assert side["full"]["right"] == pytest.approx(float(p[2] / (p[2] + p[4])), rel=1e-3)
    assert set(planted_data["task"]["scores"]["loss"]) == {"full", "circuit", "complement"}


def test_reports_beside_a_circuit_are_found(tmp_path):
    (tmp_path / "c.json").write_text("{}")
    (tmp_path / "c.evidence.json").write_text('{"checks": [1, 2]}')
    (tmp_path / "other.json").write_text("{}")
    assert evidence_beside(tmp_path / "c.json") == {"c.evidence.json": {"checks": [1, 2]}}
    (tmp_path / "c.evidence.json").write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        evidence_beside(tmp_path / "c.json")


def test_a_model_is_found_where_both_have_moved(tmp_path, planted_model, planted_circuit):
    save_model(planted_model, tmp_path / "moved" / "model")
    named = replace(planted_circuit, info=CircuitInfo(model="runs/elsewhere/model"))
    file = tmp_path / "moved" / "circuits" / "model" / "c.json"
    assert circuit_model(named, file) == tmp_path / "moved" / "model"
    with pytest.raises(UserError, match="does not exist; give it with --model"):
        circuit_model(named, tmp_path / "c.json")
    with pytest.raises(UserError, match="--model"):
        circuit_model(replace(planted_circuit, info=CircuitInfo()), file)


def test_a_circuit_of_another_model_is_refused(planted_circuit, subject):
    foreign = {**planted_circuit.nodes, "0.attn.q": torch.ones(3, dtype=torch.bool)}
    with pytest.raises(UserError, match="another model"):
        circuit_data(replace(planted_circuit, nodes=foreign), subject)


@pytest.mark.parametrize("setting", [{"max_nodes": 0}, {"windows": -1}, {"batch_size": 0}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(UserError, match=next(iter(setting))):
        ViewConfig(**setting)
