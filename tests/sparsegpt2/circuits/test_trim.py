from __future__ import annotations

from typing import Any

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, PruneConfig, evaluate, find_circuit
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.gates import join_nodes
from sparsegpt2.circuits.losses import task_loss
from sparsegpt2.circuits.means import node_means
from sparsegpt2.circuits.node_training import NodeTraining
from sparsegpt2.circuits.paths import nodes_on_paths
from sparsegpt2.circuits.score import circuit_logits
from sparsegpt2.circuits.trim import loss_under, trim
from sparsegpt2.model.sites import node_sites

TARGET = 0.05


@pytest.fixture
def decoys(planted: Any) -> Any:
    """The planted model with a redundant copy of its two neurons (5, 6), two that cancel (2, 3), a constant one (4)."""
    mlp = planted.model.blocks[0].mlp
    mlp.c_fc.weight[2:7] = 0
    mlp.c_proj.weight[:, 2:7] = 0
    for neuron, read, write in ((5, 1, 1), (6, -1, -1), (2, 1, 1), (3, 1, -1)):
        mlp.c_fc.weight[neuron, 1], mlp.c_proj.weight[2, neuron] = read, write
    mlp.c_fc.bias[4], mlp.c_proj.weight[2, 4] = 0.7, 0.5
    planted.model.means = node_means(planted.model, planted.task.batch("train", 64, 0).tokens)
    return planted


def mean_loss(model: Any, circuit: Circuit, batch: Any) -> float:
    return float(task_loss(circuit_logits(model, circuit, batch), batch).mean())


def assert_known_answer(planted: Any, circuit: Circuit) -> None:
    """The planted circuit, with any two of its neurons and their copies."""
    kept = {site: mask.nonzero().flatten().tolist() for site, mask in circuit.nodes.items() if mask.any()}
    neurons = kept.pop("0.mlp.post_act")
    assert kept == {site: channels for site, channels in planted.circuit.items() if site != "0.mlp.post_act"}
    assert len(neurons) == 2 and set(neurons) <= {0, 1, 2, 5, 6}  # with 3 ablated, 2 is one more copy of 0
    assert circuit.edges(planted.model) == planted.edges


@pytest.mark.parametrize("pruner", ["node+trim", "node+tied+trim", "edge+trim", "stochastic+trim", "attribution+trim"])
def test_every_pruner_finds_the_planted_circuit_among_decoys(decoys: Any, pruner: str) -> None:
    circuit = find_circuit(decoys.model, decoys.task, PruneConfig(pruner=pruner, target_loss=TARGET))
    assert circuit.info.reached and circuit.info.trim == "edges"
    assert_known_answer(decoys, circuit)
    assert evaluate(decoys.model, decoys.task, circuit).loss <= TARGET * 1.2


def test_the_whole_model_is_trimmed_to_the_planted_circuit(decoys: Any) -> None:
    batch = decoys.task.batch("validation", 32, 0)
    assert_known_answer(decoys, trim(decoys.model, Circuit(every_node(decoys.model)), batch, TARGET))
    nodes_only = trim(decoys.model, Circuit(every_node(decoys.model)), batch, TARGET, edges=False)
    assert nodes_only.weights is None
    assert_known_answer(decoys, nodes_only)


@pytest.mark.parametrize("edges", [True, False])
@pytest.mark.parametrize("target", [0.03, 0.1, 0.4])
@pytest.mark.parametrize("seed", [0, 1])
def test_trimming_never_breaks_the_target_and_leaves_nothing_dangling(
    decoys: Any, edges: bool, target: float, seed: int
) -> None:
    torch.manual_seed(seed)
    nodes = {site: kept | (torch.rand(len(kept)) < 0.7) for site, kept in decoys.nodes.items()}
    whole, batch = Circuit(nodes), decoys.task.batch("validation", 16, 0)
    assert mean_loss(decoys.model, whole.trimmed(decoys.model), batch) < target
    trimmed = trim(decoys.model, whole, batch, target, edges=edges)
    assert mean_loss(decoys.model, trimmed, batch) <= target + 1e-6
    assert 0 < trimmed.edges(decoys.model) < whole.edges(decoys.model)
    again = trimmed.trimmed(decoys.model)
    assert all(torch.equal(again.nodes[site], trimmed.nodes[site]) for site in nodes)
    assert not any(bool((trimmed.nodes[site] & ~nodes[site]).any()) for site in nodes)
    assert (trimmed.weights is None) != edges


def test_a_circuit_over_the_target_comes_back_as_it_was(random_model: Any, planted: Any) -> None:
    circuit = Circuit(every_node(random_model))
    assert trim(random_model, circuit, planted.task.batch("validation", 8, 0), 1e-6) is circuit


def test_a_loss_over_the_target_is_none_and_one_under_it_exact(random_model: Any, planted: Any) -> None:
    circuit, batch = Circuit(every_node(random_model)), planted.task.batch("validation", 8, 0)
    loss = mean_loss(random_model, circuit, batch)
    assert loss_under(random_model, circuit, batch, loss * 1.01) == pytest.approx(loss, rel=1e-5)
    assert loss_under(random_model, circuit, batch, loss * 0.99) is None


def test_what_is_trimmed_is_told(decoys: Any) -> None:
    circuit = find_circuit(
        decoys.model, decoys.task, PruneConfig(pruner="attribution", trim="nodes", target_loss=TARGET)
    )
    assert circuit.info.trim == "nodes" and circuit.info.edges_before_trim >= circuit.edges(decoys.model)
    assert circuit.info.validation_loss <= TARGET and circuit.weights is None
    missed = find_circuit(decoys.model, decoys.task, PruneConfig(pruner="random+trim", target_loss=1e-9))
    assert not missed.info.reached and missed.info.edges_before_trim is None


@pytest.mark.parametrize("name", ["node+magic", "node+trim+"])
def test_an_unknown_option_of_a_pruner_is_told_what_there_is(name: str) -> None:
    with pytest.raises(UserError, match="there are tied, trim, trim_nodes"):
        PruneConfig(pruner=name)


def test_gates_train_without_nodes_that_would_dangle(planted: Any) -> None:
    model, circuit = planted.model, planted.nodes
    circuit["0.mlp.resid_delta"][planted.circuit["0.mlp.resid_delta"][0]] = False  # what leads only there dangles now
    sites = node_sites(model.config)
    for kind, expected in (("none", circuit), ("nodes", nodes_on_paths(model, circuit))):
        run = NodeTraining(model, planted.task, PruneConfig(trim=kind))
        with torch.no_grad():
            run.tau.copy_(torch.where(join_nodes(circuit, sites), 0.5, -0.5))
        gates = run.gates()
        assert torch.equal(gates.detach() > 0, join_nodes(expected, sites))
        gates.sum().backward()
        assert run.tau.grad is not None and bool((run.tau.grad > 0).all())  # closed and dangling ones too
    assert not torch.equal(join_nodes(expected, sites), join_nodes(circuit, sites))
