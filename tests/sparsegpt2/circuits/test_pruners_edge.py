"""The edge pruner, tied q/k gates and the stochastic pruner."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.circuits import Circuit, PruneConfig, evaluate, find_circuit, hard_concrete, rank_nodes
from sparsegpt2.circuits.ablations import Piece
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.edges import EdgeList, edge_maps
from sparsegpt2.circuits.gate_training import starting_k_coef
from sparsegpt2.circuits.node_training import gate_of_node
from sparsegpt2.circuits.pruners.edge import LOG_ALPHA, DanglingAblation, EdgeTraining, GatedEdges
from sparsegpt2.circuits.pruners.stochastic import StochasticTraining
from sparsegpt2.circuits.score import circuit_logits
from sparsegpt2.model.sites import node_sites


def slow_linear(model: GPT, name: str, x: Any, mean: Any, kept: Any) -> Any:
    """y_o = b_o + sum_i W_oi * (x_i where the edge is kept, else mean_i), one edge at a time; x [B, T, I]."""
    weight, bias = model.get_parameter(f"{name}.weight"), model.get_parameter(f"{name}.bias")
    y = bias.double().expand(*x.shape[:-1], -1).clone()
    for out in range(weight.shape[0]):
        for into in range(weight.shape[1]):
            carried = x[..., into] if kept[f"{name}.weight"][out, into] else mean[into].double()
            y[..., out] += weight[out, into].double() * carried
    return y


def slow_logits(model: GPT, tokens: Any, kept: Any) -> Any:
    """The forward spelled out, in float64, with single edges mean-ablated; logits of the last position [B, V]."""
    config, means = model.config, model.means
    x = model.wte.weight.double()[tokens]
    for layer, block in enumerate(model.blocks):
        h = F.rms_norm(x, (config.d_model,), block.attn.norm.weight.double(), config.norm_eps)
        q, k, v = slow_linear(model, f"blocks.{layer}.attn.c_attn", h, means[f"{layer}.attn.act_in"], kept).chunk(3, -1)
        mixed = torch.zeros_like(q)
        for head in range(config.n_head):
            part = slice(head * config.d_head, (head + 1) * config.d_head)
            for t in range(tokens.shape[1]):
                scores = (q[:, t, None, part] * k[:, : t + 1, part]).sum(-1) / math.sqrt(config.d_head)
                sink = block.attn.sink[head].double().expand(len(tokens), 1)
                share = torch.cat([scores, sink], dim=1).softmax(dim=1)[:, :-1]
                mixed[:, t, part] = (share[..., None] * v[:, : t + 1, part]).sum(1)
        x = x + slow_linear(model, f"blocks.{layer}.attn.c_proj", mixed, means[f"{layer}.attn.v"], kept)
        h = F.rms_norm(x, (config.d_model,), block.mlp.norm.weight.double(), config.norm_eps)
        h = F.gelu(slow_linear(model, f"blocks.{layer}.mlp.c_fc", h, means[f"{layer}.mlp.act_in"], kept))
        x = x + slow_linear(model, f"blocks.{layer}.mlp.c_proj", h, means[f"{layer}.mlp.post_act"], kept)
    h = F.rms_norm(x[:, -1], (config.d_model,), model.norm.weight.double(), config.norm_eps)
    return h @ model.unembed.weight.double().T + model.bigram.double()[tokens[:, -1]]


@pytest.fixture
def plain_model(random_model: GPT) -> GPT:
    """`random_model` without AbsTopK."""
    model = GPT(replace(random_model.config, activation_density=1.0)).requires_grad_(False)
    model.load_state_dict(random_model.state_dict())
    model.means = random_model.means
    return model


def test_the_folded_bias_equals_ablating_edge_by_edge(plain_model: GPT, planted: Any) -> None:
    torch.manual_seed(5)
    edges = EdgeList.of(plain_model, every_node(plain_model))
    kept = edges.spread(torch.rand(len(edges)) < 0.6)
    batch = planted.task.batch("train", 3, 0)
    tokens = batch.tokens[:, :4]  # every prompt is longer; all are asked at the same position
    batch = replace(batch, tokens=tokens, position=torch.full((6,), 3))
    got = circuit_logits(plain_model, Circuit(every_node(plain_model), weights=kept), batch)
    expected = slow_logits(plain_model, tokens, kept)
    whole = slow_logits(plain_model, tokens, edges.spread(torch.ones(len(edges), dtype=torch.bool)))
    assert float((expected - whole).abs().max()) > 0.1
    assert float((got.double() - expected).abs().max()) < 1e-6 * float(expected.abs().max())


def test_gates_change_the_loss_as_their_gradient_says(plain_model: GPT, planted: Any) -> None:
    edges, batch = EdgeList.of(plain_model, every_node(plain_model)), planted.task.batch("train", 4, 0)
    gates, gated = torch.full((len(edges),), 0.7, requires_grad=True), GatedEdges(plain_model, edges)
    with torch.enable_grad():
        gated.losses(batch, gates).mean().backward()
    assert gates.grad is not None
    for edge in gates.grad.abs().argsort(descending=True)[:40:4].tolist():
        step = torch.zeros(len(edges))
        step[edge] = 0.05
        up, down = (float(gated.losses(batch, gates.detach() + s * step).mean()) for s in (1, -1))
        assert (up - down) / 0.1 == pytest.approx(float(gates.grad[edge]), rel=0.05, abs=2e-5)


def test_nodes_without_a_path_are_ablated_but_pass_their_gradient(planted: Any) -> None:
    x = torch.randn(2, 3, 12, requires_grad=True)
    nodes, kept, means = torch.arange(12) < 8, torch.arange(12) < 4, torch.randn(12)
    ablation = DanglingAblation({"0.mlp.post_act": nodes}, {"0.mlp.post_act": means})
    site = ablation.over({"0.mlp.post_act": kept})(Piece(planted.task.batch("train", 1, 0), torch.arange(2)))
    y = site("0.mlp.post_act", x)
    assert torch.equal(y[..., :4], x[..., :4]) and torch.allclose(y[..., 4:], means[4:].expand(2, 3, -1))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(gradient, nodes.float().expand(2, 3, -1))
    assert site("other", x) is x


def test_the_edge_pruner_recovers_the_planted_edges(planted: Any) -> None:
    for start in ("model", "circuit"):
        config = PruneConfig(pruner="edge", target_loss=0.02, edge_start=start)
        circuit = find_circuit(planted.model, planted.task, config)
        assert circuit.edges(planted.model) == planted.edges == circuit.info.k
        assert all(torch.equal(circuit.nodes[site], planted.nodes[site]) for site in circuit.nodes)
        assert evaluate(planted.model, planted.task, circuit).loss < 0.025


def test_hard_concrete_gates_recover_the_planted_edges(planted: Any) -> None:
    config = PruneConfig(
        pruner="edge+trim", target_loss=0.02, edge_gate="hard_concrete", init_noise_bias=0.5, edge_lr=0.03
    )
    assert find_circuit(planted.model, planted.task, config).edges(planted.model) == planted.edges


def test_hard_concrete_gates_open_as_often_as_the_penalty_counts(planted: Any) -> None:
    tau = torch.tensor([-1.0, -0.2, 0.0, 0.3, 1.0])
    config = PruneConfig(pruner="edge", edge_gate="hard_concrete")
    run = EdgeTraining(planted.model, planted.task, config, len(tau))
    with torch.no_grad():
        run.tau.copy_(tau)
        gates = torch.stack([run.gates() for _ in range(4000)])
    assert float(gates.min()) == 0 and float(gates.max()) == 1
    open_gates = float((gates > 0).float().mean(0).sum())
    assert float(run.open_gates(gates[0]).detach()) == pytest.approx(open_gates, abs=0.05)
    middle = hard_concrete.stretched(torch.full((5,), 0.5), LOG_ALPHA * tau).clamp(0, 1)
    expected = [min(1, max(0, 1.2 / (1 + math.exp(-5 * value * 1.5)) - 0.1)) for value in tau.tolist()]
    assert middle.tolist() == pytest.approx(expected, abs=1e-6)


def test_an_edge_ranking_gives_circuits_of_each_size_and_its_file(
    random_model: Any, planted: Any, tmp_path: Path
) -> None:
    ranking = rank_nodes(random_model, planted.task, PruneConfig(pruner="edge", steps=3, pairs=2))
    weights = sum(
        int((random_model.get_parameter(m.parameter)[m.rows, m.columns] != 0).sum()) for m in edge_maps(random_model)
    )
    assert ranking.size == weights and ranking.edges is not None and ranking.edge_scores is not None
    for k in (0, 1, 100, ranking.size):
        assert ranking.circuit(k).edges(random_model) == k
    best = ranking.circuit(1)
    assert ranking.edges.spread(ranking.edge_scores).keys() == best.weights.keys()
    kept = torch.cat([best.weights[name].flatten()[places] for name, places in ranking.edges.places.items()])
    assert int(kept.nonzero()) == int(ranking.edge_scores.argmax())
    circuit = ranking.circuit(77).trimmed(random_model)
    circuit.save(tmp_path / "c.json")
    loaded = Circuit.load(tmp_path / "c.json")
    assert all(torch.equal(loaded.weights[name], circuit.weights[name]) for name in circuit.weights)


def test_the_edge_pruner_needs_biases(planted: Any) -> None:
    shape = {"vocab_size": 9, "context": 8, "n_layer": 1, "d_model": 8, "d_head": 4, "activation_density": 1.0}
    model = GPT(GPTConfig(**shape, bias=False))
    model.means = {site: torch.zeros(width) for site, width in node_sites(model.config).items()}
    with pytest.raises(UserError, match="folds removed edges into biases"):
        rank_nodes(model, planted.task, PruneConfig(pruner="edge"))


def test_tied_gates_close_q_and_k_together(random_model: Any, planted: Any) -> None:
    owner = gate_of_node(random_model, True)
    assert int(owner.max()) + 1 == len(gate_of_node(random_model, False)) - 2 * 8 == len(owner.unique())
    ranking = rank_nodes(random_model, planted.task, PruneConfig(tied_qk=True, steps=5, pairs=2))
    for layer in (0, 1):
        assert torch.equal(ranking.scores[f"{layer}.attn.q"], ranking.scores[f"{layer}.attn.k"])
        assert not torch.equal(ranking.scores[f"{layer}.attn.v"], ranking.scores[f"{layer}.attn.k"])


def test_closed_nodes_are_spared_at_the_rate_asked_for(planted: Any) -> None:
    config = PruneConfig(ablation_rate=0.4, pairs=2000)
    run = StochasticTraining(planted.model, planted.task, config)
    gates = (torch.arange(68) < 20).float()
    masks = run.masks(gates)  # [B, N]
    assert masks.shape == (4000, 68) and bool((masks[:, :20] == 1).all())
    ablated = 1 - masks[:, 20:].mean(dim=1)  # by row
    assert float(ablated.mean()) == pytest.approx(0.7, abs=0.01)
    assert float(ablated.quantile(0.02)) > 0.2 and float(ablated.quantile(0.98)) > 0.93


def test_at_rate_1_the_stochastic_pruner_is_the_node_pruner(random_model: Any, planted: Any) -> None:
    settings = {"steps": 8, "pairs": 4, "dtype": "float32", "drop_below": -1.0}
    one = rank_nodes(random_model, planted.task, PruneConfig(**settings))
    all_ablated = rank_nodes(
        random_model, planted.task, PruneConfig(pruner="stochastic", ablation_rate=1.0, **settings)
    )
    part = rank_nodes(random_model, planted.task, PruneConfig(pruner="stochastic", ablation_rate=0.2, **settings))
    assert all(torch.allclose(one.scores[site], all_ablated.scores[site], atol=1e-4) for site in one.scores)
    assert not all(torch.allclose(one.scores[site], part.scores[site], atol=1e-3) for site in one.scores)


def test_the_controllers_start_is_bounded_for_all_gates_together() -> None:
    assert starting_k_coef(PruneConfig(k_coef=1e-3, pressure=2.0), 1000) == 1e-3
    assert starting_k_coef(PruneConfig(k_coef=1e-3, pressure=2.0), 100_000) == pytest.approx(2e-5)
    assert starting_k_coef(PruneConfig(k_coef=1e-3, penalty="fixed"), 100_000) == 1e-3


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"trim": "all"}, "trim needs none, nodes or edges"),
        ({"edge_start": "top"}, "edge_start needs model or circuit"),
        ({"edge_gate": "soft"}, "edge_gate needs heaviside or hard_concrete"),
        ({"ablation_rate": 1.5}, "ablation_rate must be from 0 to 1"),
        ({"pressure": 0.0}, "pressure must be above 0"),
    ],
)
def test_impossible_settings_of_the_new_pruners_are_said(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        PruneConfig(**settings)
