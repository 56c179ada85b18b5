from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sparsegpt2 import GPT, UserError
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.info import CircuitInfo
from sparsegpt2.model.sites import node_sites


@pytest.fixture
def circuit(random_model: GPT) -> Circuit:
    sites = node_sites(random_model.config)
    return Circuit(
        nodes={site: torch.rand(width) < 0.3 for site, width in sites.items()},
        weights={"blocks.1.mlp.c_fc.weight": torch.rand(12, 8) < 0.5},
        scores={site: torch.randn(width) / 3 for site, width in sites.items()},
        info=CircuitInfo(pruner="node", curve=[[1, 0, 0.7], [9, 4, 0.1]], reached=True),
    )


def test_a_file_brings_the_circuit_back(circuit: Circuit, random_model: GPT, tmp_path: Path) -> None:
    circuit.save(tmp_path / "circuit.json")
    loaded = Circuit.load(tmp_path / "circuit.json")
    assert loaded.info == circuit.info
    for got, put in ((loaded.nodes, circuit.nodes), (loaded.weights, circuit.weights), (loaded.scores, circuit.scores)):
        assert got is not None and put is not None and list(got) == list(put)
        assert all(torch.equal(got[name], put[name]) and got[name].dtype == put[name].dtype for name in put)
    assert loaded.edges(random_model) == circuit.edges(random_model)
    plain = Circuit(circuit.nodes)
    plain.save(tmp_path / "plain.json")
    assert Circuit.load(tmp_path / "plain.json").weights is None is Circuit.load(tmp_path / "plain.json").scores


def test_missing_truncated_damaged_and_foreign_files_are_said(circuit: Circuit, tmp_path: Path) -> None:
    path = tmp_path / "circuit.json"
    with pytest.raises(UserError, match="does not exist"):
        Circuit.load(path)
    circuit.save(path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(UserError, match=r"circuit\.json is not valid JSON"):
        Circuit.load(path)
    for foreign in ('{"nodes": {}}', "[1, 2]", text.replace('"format": 1', '"format": 7')):
        path.write_text(foreign)
        with pytest.raises(UserError, match="is not a circuit file of format 1"):
            Circuit.load(path)
    values = json.loads(text)
    del values["nodes"]["0.attn.q"]["kept"]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"circuit\.json is damaged"):
        Circuit.load(path)
    values["nodes"]["0.attn.q"]["kept"] = [0, 8]
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match="from 0 to 7"):
        Circuit.load(path)


def test_a_circuit_of_another_model_is_refused(circuit: Circuit, random_model: GPT) -> None:
    circuit.check(random_model)
    other = Circuit({**circuit.nodes, "0.attn.q": torch.ones(4, dtype=torch.bool)})
    with pytest.raises(UserError, match=r"another model: site 0\.attn\.q has 4 channels in the circuit and 8"):
        other.edges(random_model)
    deeper = Circuit({**circuit.nodes, "2.attn.q": torch.ones(8, dtype=torch.bool)})
    with pytest.raises(UserError, match=r"2\.attn\.q has 8 channels in the circuit and none"):
        deeper.check(random_model)
    wrong = Circuit(every_node(random_model), weights={"blocks.0.mlp.c_fc.weight": torch.ones(3, 3).bool()})
    with pytest.raises(UserError, match=r"mask over blocks\.0\.mlp\.c_fc\.weight has another shape"):
        wrong.check(random_model)


def test_node_counts(circuit: Circuit) -> None:
    assert circuit.n_nodes == sum(int(mask.sum()) for mask in circuit.nodes.values())
    assert circuit.nodes_per_site()["1.mlp.post_act"] == int(circuit.nodes["1.mlp.post_act"].sum())
