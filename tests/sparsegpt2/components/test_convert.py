"""Conversion between circuits of components and of channels, on the planted model."""

from __future__ import annotations

import torch

from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.components import ComponentCircuit
from sparsegpt2.components.convert import channel_view, circuit_weights, component_view, edge_weights, links_of

PLANTED = ["emb→a0.h0.v", "a0.h0→m0", "m0→logits"]
TO_LOGITS = ["emb→logits", "a0.h0→logits"]
"""Channels 0 and 1 reach the logits of other tokens: circuits of channels have no say over the unembedding."""


def test_a_channel_circuit_touches_the_planted_components(planted):
    view = component_view(planted.model, Circuit(nodes=planted.nodes))
    assert set(view.edges) == {*PLANTED, *TO_LOGITS}
    assert view.nodes == ["emb", "a0.h0", "m0"]


def test_removed_weights_take_their_edges_with_them(planted):
    name = "blocks.0.attn.c_proj.weight"
    kept = torch.ones_like(planted.model.get_parameter(name), dtype=torch.bool)
    kept[1, 0] = False  # the planted head's only weight
    view = component_view(planted.model, Circuit(nodes=planted.nodes, weights={name: kept}))
    assert view.edges == ["emb→logits"]


def test_weights_that_an_edge_holds_by_hand(planted):
    """a0.h0 and m0 meet in every channel; h0 is 4 columns wide, with the planted zeros."""
    model = planted.model
    held, graph = edge_weights(model), links_of(model).graph
    project, read = model.layers[0].attn.c_proj.weight[:, :4] != 0, model.layers[0].mlp.c_fc.weight != 0
    expected = sum(
        int(project[channel].sum()) + int(read[:, channel].sum())
        for channel in range(8)
        if project[channel].any() and read[:, channel].any()
    )
    assert int(held[graph.writer_index["a0.h0"], graph.reader_index["m0"]]) == expected
    assert int(held[graph.writer_index["emb"], graph.reader_index["logits"]]) == 0  # tables are not counted


def test_a_weight_is_counted_once(planted):
    model = planted.model
    graph = links_of(model).graph
    held = edge_weights(model)
    one, two = graph.mask(["a0.h0→m0"]), graph.mask(["a0.h0→m0", "a0.h0→logits"])
    assert circuit_weights(model, one) == int(held[one].sum())
    assert int(held[one].sum()) <= circuit_weights(model, two) < int(held[two].sum())
    assert circuit_weights(model, torch.zeros_like(one)) == 0


def test_there_and_back_again_only_grows(planted, random_component_model):
    for model, circuit in ((planted.model, Circuit(nodes=planted.nodes)), (random_component_model, None)):
        there = component_view(model, circuit or Circuit(nodes=every_node(model)))
        back = component_view(model, channel_view(model, there))
        assert not bool((there.kept & ~back.kept).any())


def test_the_whole_model_is_the_whole_graph(random_component_model):
    model = random_component_model
    view = component_view(model, Circuit(nodes=every_node(model)))
    assert bool(view.kept.equal(view.graph.present))
    maps = [block.attn.c_attn for block in model.layers] + [block.attn.c_proj for block in model.layers]
    maps += [layer for block in model.layers for layer in (block.mlp.c_fc, block.mlp.c_proj)]
    assert circuit_weights(model, view.kept) == sum(int(layer.weight.count_nonzero()) for layer in maps)
    nodes = channel_view(model, ComponentCircuit(view.graph, view.kept)).nodes
    assert all(bool(mask.all()) for mask in nodes.values())
