"""The component graph: its size, order and names, trimming, masks and circuits as files."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsegpt2 import GPTConfig, UserError
from sparsegpt2.components import ComponentCircuit, ComponentGraph
from sparsegpt2.components.circuit import ComponentInfo, top_edges


@settings(max_examples=25, deadline=None)
@given(layers=st.integers(1, 4), heads=st.integers(1, 5))
def test_the_formula_counts_the_edges(layers, heads):
    graph = ComponentGraph(layers, heads)
    assert graph.n_edges == int(graph.present.sum()) == len(set(graph.edge_names))
    assert len(graph.writers) == 1 + layers * (heads + 1)
    assert len(graph.readers) == layers * (3 * heads + 1) + 1


def test_gpt2_small_has_the_literatures_number_of_edges():
    assert ComponentGraph(12, 12).n_edges == 32_491


def test_edges_of_one_layer_by_name():
    assert ComponentGraph(1, 1).edge_names == (
        *("emb→a0.h0.q", "emb→a0.h0.k", "emb→a0.h0.v", "emb→m0", "a0.h0→m0"),
        *("emb→logits", "a0.h0→logits", "m0→logits"),
    )


def test_names_and_masks_are_two_views():
    graph = ComponentGraph(3, 2)
    mask = graph.mask(["a1.h1->m2", "emb→a0.h1.q"])
    assert graph.names(mask) == ["emb→a0.h1.q", "a1.h1→m2"]
    flat = torch.arange(graph.n_edges)
    assert torch.equal(graph.flat(graph.matrix(flat)), flat)
    with pytest.raises(UserError, match="no edge 'm2→m1'"):
        graph.mask(["m2→m1"])


def test_trimming_keeps_what_lies_on_a_path():
    graph = ComponentGraph(2, 1)
    path = ["emb→a0.h0.v", "a0.h0→m1", "m1→logits"]
    dangling = ["emb→m0"]  # nothing reads m0
    unfed = ["a1.h0→logits"]  # a1.h0 reads nothing
    mask = graph.mask(path + dangling + unfed)
    assert set(graph.names(graph.trimmed(mask, from_inputs=True))) == set(path)
    assert set(graph.names(graph.trimmed(mask, from_inputs=False))) == set(path + unfed)


def test_a_residual_stream_that_is_no_sum_has_no_graph():
    with pytest.raises(UserError, match="residual_activation"):
        ComponentGraph.of(GPTConfig(residual_activation="relu"))
    with pytest.raises(UserError, match="AbsTopK at mlp"):
        ComponentGraph.of(GPTConfig(activation_places=("mlp.resid_post",)))


def test_ties_go_to_the_first_edges():
    graph = ComponentGraph(1, 2)
    kept = top_edges(graph, graph.present.float(), 0.5)
    assert graph.names(kept) == list(graph.edge_names[: int(kept.sum())]) and int(kept.sum()) == 6


def test_a_circuit_is_written_and_read(tmp_path):
    graph = ComponentGraph(2, 2)
    circuit = ComponentCircuit(graph, graph.mask(["emb→m0", "m0→logits"]), ComponentInfo(task="x"))
    circuit.save(tmp_path / "c.json")
    again = ComponentCircuit.load(tmp_path / "c.json")
    assert again.graph == graph and torch.equal(again.kept, circuit.kept) and again.info == circuit.info
    assert again.nodes == ["emb", "m0"] and again.sparsity == 1 - 2 / graph.n_edges
    assert again.node_sparsity == 1 - 2 / 7


@pytest.mark.parametrize("text", ["", "[1]", '{"format": 1, "kind": "sparsegpt2 component circuit"}', None])
def test_a_bad_circuit_file_is_one_sentence(tmp_path, text):
    path = tmp_path / "c.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"c\.json"):
        ComponentCircuit.load(path)
