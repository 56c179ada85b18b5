"""Circuits as NetworkX graphs, GraphML and CSV: the same nodes, edges and weights."""

from __future__ import annotations

import csv

import networkx
import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, UserError, save_model
from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.interop import graph
from sparsegpt2.model.sites import node_sites


@pytest.fixture
def found(tmp_path):
    """(circuit of every third node, its model), with concatenated positions, which are no nodes."""
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=30, context=8, n_layer=2, d_model=12, d_head=4, positions="concat_learned", d_pos=3)
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(torch.rand_like(parameter) < 0.4)
    model.means = {site: torch.randn(width) for site, width in node_sites(config).items()}
    nodes = {site: torch.arange(width) % 3 == 1 for site, width in node_sites(config).items()}
    circuit = Circuit(nodes=nodes, info=CircuitInfo(task="for_while", seed=3, target_loss=0.15, curve=[[1, 2]]))
    save_model(model, tmp_path / "model")
    circuit = circuit.noting(model=str(tmp_path / "model"))
    circuit.save(tmp_path / "circuit.json")
    return circuit, model


def test_nodes_and_edges_are_the_circuits(found):
    circuit, model = found
    made = graph.to_networkx(circuit, model)
    assert made.number_of_nodes() == circuit.n_nodes and made.number_of_edges() == circuit.edges(model) > 0
    assert made.graph["task"] == "for_while" and "curve" not in made.graph
    assert networkx.is_directed_acyclic_graph(made)
    q = made.nodes["1.attn.q.7"]
    assert q["layer"] == 1 and q["sublayer"] == "attn" and q["place"] == "q" and q["channel"] == 7 and q["head"] == 1
    assert q["mean"] == float(model.means["1.attn.q"][7]) and made.nodes["0.mlp.post_act.1"]["head"] == -1
    for source, target, weight in made.edges(data="weight"):
        site, channel = target.rsplit(".", 1)
        parameter = {"attn.q": 0, "attn.k": 12, "attn.v": 24}.get(site.split(".", 1)[1])
        layer, sublayer = site.split(".")[:2]
        into, row = ("c_attn", parameter + int(channel)) if parameter is not None else ("c_fc", int(channel))
        into = "c_proj" if site.endswith("resid_delta") else into
        stored = model.get_parameter(f"blocks.{layer}.{sublayer}.{into}.weight")[row, int(source.rsplit(".", 1)[1])]
        assert weight == float(stored.detach()) != 0


def test_a_mask_over_weights_counts(found):
    circuit, model = found
    name = "blocks.0.mlp.c_fc.weight"
    masked = Circuit(nodes=circuit.nodes, weights={name: torch.zeros(48, 15, dtype=torch.bool)})
    made = graph.to_networkx(masked, model)
    assert made.number_of_edges() == masked.edges(model) < circuit.edges(model)
    assert not any(target.startswith("0.mlp.post_act") for _, target in made.edges)


def test_graphml_reads_back(found, tmp_path, command):
    circuit, model = found
    status, _, err = command("export", "graphml", tmp_path / "circuit.json", "--out", tmp_path / "c.graphml")
    assert status == 0, err
    back, made = networkx.read_graphml(tmp_path / "c.graphml"), graph.to_networkx(circuit, model)
    assert dict(back.nodes(data=True)) == dict(made.nodes(data=True))
    assert sorted(back.edges(data=True), key=str) == sorted(made.edges(data=True), key=str)
    assert back.graph["target_loss"] == 0.15


def test_csv_reads_back(found, tmp_path, command):
    circuit, model = found
    status, _, err = command("export", "csv", tmp_path / "circuit.json", "--out", tmp_path / "c")
    assert status == 0, err
    made = graph.to_networkx(circuit, model)
    with (tmp_path / "c" / "nodes.csv").open(newline="") as file:
        nodes = list(csv.DictReader(file))
    assert {node["id"]: float(node["mean"]) for node in nodes} == dict(made.nodes(data="mean"))
    with (tmp_path / "c" / "edges.csv").open(newline="") as file:
        edges = {(edge["source"], edge["target"]): float(edge["weight"]) for edge in csv.DictReader(file)}
    assert edges == {(a, b): weight for a, b, weight in made.edges(data="weight")}


def test_an_empty_circuit_is_an_empty_graph(found, tmp_path):
    _, model = found
    nothing = Circuit(nodes={site: torch.zeros(w, dtype=torch.bool) for site, w in node_sites(model.config).items()})
    graph.write_csv(graph.to_networkx(nothing, model), tmp_path / "c")
    assert (tmp_path / "c" / "edges.csv").read_text().strip() == "source,target,weight"


def test_another_models_circuit_is_refused(found):
    circuit, _ = found
    with pytest.raises(UserError, match="found in another model"):
        graph.to_networkx(circuit, GPT(GPTConfig(vocab_size=30, context=8, n_layer=1, d_model=12, d_head=4)))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["export", "graphml", "nowhere.json", "--out", "OUT"], "nowhere.json does not exist"),
        (["export", "csv", "CIRCUIT", "--out", "CIRCUIT"], "is a file; name a folder"),
        (["export", "csv", "CIRCUIT", "--out", "OUT", "--model", "nowhere"], "nowhere does not exist"),
        (
            ["export", "dot", "CIRCUIT", "--out", "OUT"],
            "FORMAT needs openai, transformers, zoo, graphml or csv, not",
        ),
    ],
)
def test_mistakes_are_one_sentence(found, tmp_path, command, arguments, sentence):
    named = {"CIRCUIT": str(tmp_path / "circuit.json"), "OUT": str(tmp_path / "out")}
    status, _, err = command(*[named.get(argument, argument) for argument in arguments])
    assert status == 2 and err.startswith("sparsegpt2: error: ") and sentence in err and err.count("\n") == 1


def test_a_circuit_without_its_model_asks_for_it(found, tmp_path, command):
    circuit, _ = found
    Circuit(nodes=circuit.nodes).save(tmp_path / "lone.json")
    status, _, err = command("export", "csv", tmp_path / "lone.json", "--out", tmp_path / "c")
    assert status == 2 and "give it with --model" in err
    status, _, err = command(
        "export", "csv", tmp_path / "lone.json", "--out", tmp_path / "c", "--model", tmp_path / "model"
    )
    assert status == 0, err
