from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.edges import ablate_edges, edges_by_size
from sparsegpt2.circuits.gates import split_nodes
from sparsegpt2.model.sites import Record, node_sites

MakeMasks = Callable[[GPT, dict[str, list[int]]], dict[str, Tensor]]


@pytest.fixture(params=["none", "concat_learned", "learned"])
def sparse_model(request: pytest.FixtureRequest) -> GPT:
    """Half of all weights zero; head channels (A = 12), width (8), MLP (10) and positions (4, so 8 + 4 = A) differ."""
    torch.manual_seed(2)
    extra = {"d_pos": 4} if request.param.startswith("concat") else {}
    shape = {"vocab_size": 11, "context": 8, "d_model": 8, "n_head": 3, "d_head": 4, "d_mlp": 10}
    model = GPT(GPTConfig(**shape, positions=request.param, **extra)).requires_grad_(False)  # type: ignore[arg-type]
    for parameter in model.parameters():
        parameter.copy_(torch.randn_like(parameter) * (torch.rand_like(parameter) < 0.5))
    return model


def random_nodes(model: GPT) -> dict[str, Tensor]:
    return {site: torch.rand(width) < 0.5 for site, width in node_sites(model.config).items()}


def brute_force_edges(model: GPT, nodes: dict[str, Tensor]) -> int:
    """One weight at a time, from the model's formula y_o = sum_i W[o, i] x_i."""
    count = 0
    for layer, block in enumerate(model.blocks):
        at = {site.split(".", 1)[1]: kept for site, kept in nodes.items() if site.startswith(f"{layer}.")}
        width = model.config.d_attn
        for into in range(model.config.d_model):
            for part, offset in (("q", 0), ("k", width), ("v", 2 * width)):
                for out in range(width):
                    weight = block.attn.c_attn.weight[offset + out, into]
                    count += bool(weight != 0 and at["attn.act_in"][into] and at[f"attn.{part}"][out])
            for out in range(model.config.d_mlp):
                count += bool(
                    block.mlp.c_fc.weight[out, into] != 0 and at["mlp.act_in"][into] and at["mlp.post_act"][out]
                )
        for out in range(model.config.d_model):
            for into in range(width):
                weight = block.attn.c_proj.weight[out, into]
                count += bool(weight != 0 and at["attn.v"][into] and at["attn.resid_delta"][out])
            for into in range(model.config.d_mlp):
                weight = block.mlp.c_proj.weight[out, into]
                count += bool(weight != 0 and at["mlp.post_act"][into] and at["mlp.resid_delta"][out])
    return count


def test_edges_equal_a_brute_force_count(sparse_model: GPT) -> None:
    for _ in range(3):
        nodes = random_nodes(sparse_model)
        circuit = Circuit(nodes)
        assert circuit.edges(sparse_model) == brute_force_edges(sparse_model, nodes) > 0
        assert len(circuit.edges_by_map(sparse_model)) == 12
    whole = Circuit(every_node(sparse_model))
    by_map = whole.edges_by_map(sparse_model)
    assert by_map["1.attn.v -> 1.attn.resid_delta"] == sparse_model.blocks[1].attn.c_proj.weight.count_nonzero()
    assert by_map["0.attn.act_in -> 0.attn.k"] == sparse_model.blocks[0].attn.c_attn.weight[12:24, :8].count_nonzero()


def test_the_smallest_mlp_circuit_has_three_nodes_and_two_edges(sparse_model: GPT, make_masks: MakeMasks) -> None:
    mlp = sparse_model.blocks[1].mlp
    mlp.c_fc.weight[7, 3] = mlp.c_proj.weight[5, 7] = 1.0
    circuit = Circuit(make_masks(sparse_model, {"1.mlp.act_in": [3], "1.mlp.post_act": [7], "1.mlp.resid_delta": [5]}))
    assert (circuit.n_nodes, circuit.edges(sparse_model)) == (3, 2)
    mlp.c_proj.weight[5, 7] = 0.0
    assert circuit.edges(sparse_model) == 1


def test_edges_of_every_size_at_once_equal_counting_each(sparse_model: GPT) -> None:
    sites = node_sites(sparse_model.config)
    total = sum(sites.values())
    ranks = split_nodes(torch.randperm(total), sites)
    edges = edges_by_size(sparse_model, ranks)
    assert len(edges) == total + 1
    for k in (0, 1, 2, 17, 60, total - 1, total):
        assert edges[k] == Circuit({site: rank < k for site, rank in ranks.items()}).edges(sparse_model)


def test_side_edges_equal_a_brute_force_count(sparse_model: GPT) -> None:
    nodes = random_nodes(sparse_model)
    expected = {"embedding": 0, "unembedding": 0, "positions": 0, "biases": 0}
    for channel in range(8):
        if any(nodes[f"{layer}.{kind}.act_in"][channel] for layer in (0, 1) for kind in ("attn", "mlp")):
            expected["embedding"] += int((sparse_model.wte.weight[:, channel] != 0).sum())
            if sparse_model.config.positions == "learned":
                expected["embedding"] += int((sparse_model.wpe.weight[:, channel] != 0).sum())
        if any(nodes[f"{layer}.{kind}.resid_delta"][channel] for layer in (0, 1) for kind in ("attn", "mlp")):
            expected["unembedding"] += int((sparse_model.unembed.weight[:, channel] != 0).sum())
    for layer, block in enumerate(sparse_model.blocks):
        inner = torch.cat([nodes[f"{layer}.attn.{part}"] for part in "qkv"])
        for linear, kept in (
            (block.attn.c_attn, inner),
            (block.attn.c_proj, nodes[f"{layer}.attn.resid_delta"]),
            (block.mlp.c_fc, nodes[f"{layer}.mlp.post_act"]),
            (block.mlp.c_proj, nodes[f"{layer}.mlp.resid_delta"]),
        ):
            expected["biases"] += sum(int(kept[row] and linear.bias[row] != 0) for row in range(len(kept)))
            if linear in (block.attn.c_attn, block.mlp.c_fc):
                expected["positions"] += sum(
                    int((linear.weight[r, 8:] != 0).sum()) for r in range(len(kept)) if kept[r]
                )
    assert Circuit(nodes).side_edges(sparse_model) == expected
    assert (expected["positions"] > 0) == (sparse_model.config.d_pos > 0)


def test_a_mask_over_weights_counts_and_ablates_edge_by_edge(sparse_model: GPT) -> None:
    name = "blocks.0.attn.c_attn.weight"
    weight, bias = sparse_model.get_parameter(name), sparse_model.blocks[0].attn.c_attn.bias
    kept = torch.rand_like(weight) < 0.5
    whole = every_node(sparse_model)
    dropped = int((~kept & (weight != 0))[:, :8].sum())
    masked = Circuit(whole, weights={name: kept})
    assert masked.edges(sparse_model) == Circuit(whole).edges(sparse_model) - dropped
    means = {site: torch.randn(width) for site, width in node_sites(sparse_model.config).items()}
    parameters = ablate_edges(sparse_model, {name: kept}, means)
    assert set(parameters) == {name, "blocks.0.attn.c_attn.bias"}
    x = torch.randn(12 if sparse_model.config.d_pos else 8)
    for out in range(36):
        expected = bias[out].clone()
        for into in range(len(x)):
            position = into >= 8  # no node, so never ablated
            expected += weight[out, into] * (x[into] if kept[out, into] or position else means["0.attn.act_in"][into])
        got = parameters[name][out] @ x + parameters["blocks.0.attn.c_attn.bias"][out]
        torch.testing.assert_close(got, expected)
    record = Record(["0.attn.q"])
    tokens = torch.zeros(1, 2, dtype=torch.int64)
    before = sparse_model(tokens)
    functional_call(sparse_model, parameters, (tokens,), {"site": record})
    assert torch.equal(sparse_model(tokens), before)  # the model's own weights are untouched


def test_a_mask_over_weights_needs_biases() -> None:
    model = GPT(GPTConfig(vocab_size=11, context=8, d_model=16, d_head=8, bias=False))
    name = "blocks.0.mlp.c_fc.weight"
    means = {site: torch.zeros(width) for site, width in node_sites(model.config).items()}
    with pytest.raises(UserError, match="biases"):
        ablate_edges(model, {name: torch.ones(64, 16, dtype=torch.bool)}, means)
