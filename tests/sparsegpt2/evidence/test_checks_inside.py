"""Checks that look inside the forward, ablate parts of the rest, or prune anew: against slow ways and by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sparsegpt2.circuits import PruneConfig
from sparsegpt2.circuits.gates import MeanAblation
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.evidence.checks.binarisation import fitted_steps, two_means
from sparsegpt2.evidence.checks.seeds import edge_mask, iou, other_seeds, pack, unpack
from sparsegpt2.kernels.abs_topk import abs_topk
from sparsegpt2.kernels.attention import attention_pattern
from sparsegpt2.model.sites import Chain, Record

CHANCE = math.log(2)
SUBLAYERS = ("attn", "mlp")


# --- Inside the forward -------------------------------------------------------------------------------------------


def test_attention_against_patterns_made_by_hand(
    random_model: Any, planted: Any, make_case: Any, run_check: Any
) -> None:
    nodes = {site: torch.rand(len(mean)) < 0.7 for site, mean in random_model.means.items()}
    nodes["1.attn.v"][:4] = False  # the first head of the second layer is not in the circuit
    nodes["1.attn.v"][4:] = True
    nodes["0.attn.v"][:] = True
    case = make_case(random_model, planted.task, nodes, pairs=3)
    finding = run_check("attention", case)
    assert finding.details["heads"] == {"0": [0, 1], "1": [1]}
    last, everywhere = [], []
    for row in range(6):
        length = int(case.batch.position[row]) + 1
        tokens = case.batch.tokens[row : row + 1, :length]
        found = []
        for site in (None, MeanAblation(nodes, case.means)):
            record = Record()
            random_model(tokens, site=record if site is None else Chain(site, record))
            heads = []
            for layer, block in enumerate(random_model.layers):
                q, k = (block.attn.heads(record.values[f"{layer}.attn.{part}"]) for part in "qk")
                heads.append(attention_pattern(q, k, block.attn.sink, causal=True)[0])  # [H, T, T]
            found.append(torch.cat(heads)[[0, 1, 3]])
        gap = (found[0] - found[1]).abs().sum(-1)
        sinks = (found[0].sum(-1) - found[1].sum(-1)).abs()
        same = 1 - (gap + sinks) / 2  # [3, T]
        last.append(float(same[:, -1].mean()))
        everywhere.append(float(same.mean()))
    assert finding.numbers["similarity"].value == pytest.approx(sum(last) / 6, abs=1e-5)
    assert finding.numbers["similarity, all positions"].value == pytest.approx(sum(everywhere) / 6, abs=1e-5)


def test_a_circuit_without_values_has_no_attention(planted: Any, make_case: Any, run_check: Any) -> None:
    nodes = {**planted.nodes, "0.attn.v": planted.nodes["0.attn.v"] & False}
    assert run_check("attention", make_case(planted.model, planted.task, nodes)).verdict == "not run"


def test_frozen_norms_against_inputs_made_by_hand(
    random_model: Any, planted: Any, make_case: Any, run_check: Any
) -> None:
    """The slow way: what each norm divides by in the whole model is noted, and every input of a sublayer made anew."""
    nodes = {site: torch.rand(len(mean)) < 0.6 for site, mean in random_model.means.items()}
    case = make_case(random_model, planted.task, nodes, pairs=4)
    finding = run_check("norms", case)
    gains = {
        f"{layer}.{kind}.act_in": getattr(random_model.layers[layer], kind) for layer in (0, 1) for kind in SUBLAYERS
    }
    ablation, losses = MeanAblation(nodes, case.means), []
    for row in range(0, len(case.batch), 2):
        pair = case.batch.take(torch.tensor([row, row + 1]))
        record, stream = Record(), [torch.empty(0)]
        answer_logits(random_model, pair, record)
        streams = ["embed", "0.attn.resid_post", "0.mlp.resid_post", "1.attn.resid_post", "1.mlp.resid_post"]
        scales = [1 / record.values[name].square().mean(-1, keepdim=True).sqrt() for name in streams]

        def made_anew(name: str, x: torch.Tensor) -> torch.Tensor:
            if name in streams:  # noqa: B023
                stream[0] = x  # noqa: B023 (called before the next turn of the loop)
            elif name in gains:
                h = stream[0] * scales.pop(0) * gains[name].norm.weight  # noqa: B023
                x = abs_topk(h, gains[name].keep["act_in"])
            elif name == "final.act_in":
                at = torch.arange(2), pair.position  # noqa: B023
                x = stream[0][at] * scales.pop(0)[at] * random_model.norm.weight  # noqa: B023
            return ablation(name, x)

        losses.append(task_loss(answer_logits(random_model, pair, made_anew), pair))
        assert not scales
    expected = float(torch.cat(losses).mean())
    assert finding.numbers["frozen"].value == pytest.approx(expected, abs=1e-4)
    assert finding.numbers["recomputed"].value == pytest.approx(float(case.circuit_loss.mean()), abs=1e-5)
    assert abs(finding.numbers["frozen"].value - finding.numbers["recomputed"].value) > 1e-3


def test_models_without_rms_norm_are_not_judged(planted: Any, make_case: Any, run_check: Any) -> None:
    assert run_check("norms", make_case(planted.model, planted.task, planted.nodes)).verdict == "not run"


# --- Subsets of the rest ------------------------------------------------------------------------------------------


def test_stochastic_ablation_of_a_planted_circuit(planted: Any, make_case: Any, run_check: Any) -> None:
    case = make_case(planted.model, planted.task, planted.nodes)
    finding = run_check("stochastic", case)
    assert finding.verdict == "holds"
    assert finding.numbers["rate 0"].value == pytest.approx(float(case.full_loss.mean()))
    assert finding.numbers["rate 1"].value == pytest.approx(float(case.circuit_loss.mean()))


@pytest.mark.parametrize("check", ["stochastic", "adversarial"])
def test_a_cheat_is_flagged(cheat: Any, make_case: Any, run_check: Any, check: str) -> None:
    """Cancelling ablations fake a circuit: alone it does the task as well as the real one, and only alone."""
    fake = make_case(cheat.model, cheat.task, cheat.nodes, adversary_steps=25, draws=150)
    assert run_check("sufficiency", replace_settings(fake, draws=2)).numbers["mean"].value < 0.05
    assert run_check(check, replace_settings(fake, draws=150)).verdict == "fails"


def test_a_cheat_is_less_complete_than_the_real_circuit(cheat: Any, make_case: Any, run_check: Any) -> None:
    gaps = [
        run_check("completeness", make_case(cheat.model, cheat.task, nodes, draws=12)).numbers["gap"].value
        for nodes in (cheat.nodes, cheat.real)
    ]
    assert gaps[0] > 2 * gaps[1]


def test_the_adversary_finds_the_one_node_that_matters(
    planted: Any, make_case: Any, run_check: Any, by_hand: Any
) -> None:
    """Neuron 2 undoes the circuit where neuron 3 does not make up for it: ablating 3 and keeping 2 is the worst."""
    mlp = planted.model.blocks[0].mlp
    for neuron, sign in ((2, -1), (3, 1)):
        mlp.c_fc.weight[neuron] = 0
        mlp.c_fc.weight[neuron, 1], mlp.c_fc.bias[neuron] = 1, 2
        mlp.c_proj.weight[:, neuron] = 0
        mlp.c_proj.weight[2, neuron] = 3 * sign
    case = make_case(planted.model, planted.task, planted.nodes, adversary_steps=25)
    finding = run_check("adversarial", case)
    worst = {site: mask.clone() for site, mask in case.everything.items()}
    worst["0.mlp.post_act"][3] = False
    expected = float(by_hand(case, worst).mean())
    assert expected > 2 and finding.numbers["adversarial"].value >= expected - 0.2
    assert finding.verdict == "fails"


def test_an_adversary_with_nothing_to_choose_changes_nothing(planted: Any, make_case: Any, run_check: Any) -> None:
    everything = {site: mask | True for site, mask in planted.nodes.items()}
    finding = run_check("adversarial", make_case(planted.model, planted.task, everything))
    assert finding.numbers["adversarial"].value == pytest.approx(finding.numbers["all ablated"].value)
    assert finding.verdict == "holds"


def test_edges_left_out_are_the_adversarys_to_choose(
    planted: Any, make_case: Any, run_check: Any, one_edge_off: Any
) -> None:
    """All nodes are kept and one edge is not: the choice is between the circuit and the whole model."""
    everything = {site: mask | True for site, mask in planted.nodes.items()}
    case = make_case(planted.model, planted.task, everything, one_edge_off, adversary_steps=2, adversary_lr=1e-6)
    finding = run_check("adversarial", case)
    worse = max(float(case.full_loss.mean()), float(case.circuit_loss.mean()))
    assert finding.details["edges"] == 1
    assert finding.numbers["adversarial"].value == pytest.approx(worse, abs=1e-6)
    assert float(case.full_loss.mean()) != pytest.approx(float(case.circuit_loss.mean()), abs=1e-4)
    random = run_check("stochastic", replace_settings(case, rates=(0.5,)))
    assert random.numbers["rate 0.5"].value <= worse + 1e-6


def replace_settings(case: Any, **settings: Any) -> Any:
    case.config = replace(case.config, **settings)
    return case


# --- Seeds, steps -------------------------------------------------------------------------------------------------


def test_iou_and_seeds(planted: Any, make_case: Any) -> None:
    sets = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    found = iou(sets)
    assert found[0, 1].item() == pytest.approx(1 / 3) and found[0, 2].item() == 0 and found[2, 3].item() == 1
    assert other_seeds(0, 5) == [1, 2, 3, 4] and other_seeds(2, 3) == [0, 1] and other_seeds(9, 3) == [0, 1]
    case = make_case(planted.model, planted.task, planted.nodes)
    assert int(edge_mask(case, case.circuit).sum()) == planted.edges


def test_a_circuit_survives_the_memo(planted: Any, make_case: Any, one_edge_off: Any) -> None:
    case = make_case(planted.model, planted.task, planted.nodes, one_edge_off)
    back = unpack(case, pack(case.circuit))
    assert all(torch.equal(back.nodes[site], mask) for site, mask in planted.nodes.items())
    assert back.weights is not None
    assert all(torch.equal(back.weights[name], mask) for name, mask in one_edge_off.items())


def test_seeds_of_a_random_pruner_share_little(planted: Any, make_case: Any, run_check: Any) -> None:
    prune = PruneConfig(pruner="random", target_loss=0.69, validation_pairs=8)
    finding = run_check("seeds", make_case(planted.model, planted.task, planted.nodes, seeds=3, prune=prune))
    assert finding.details["seeds"] == [0, 1, 2] and len(finding.details["edges"]) == 3
    assert finding.numbers["IoU of nodes"].n == 3 and finding.numbers["IoU of nodes"].error is not None


def test_two_means_against_all_splits() -> None:
    values = torch.cat([torch.randn(20, 3), torch.randn(30, 3) + torch.tensor([8.0, 12.0, 20.0])])
    low, high, threshold = two_means(values)
    for channel in range(3):
        ordered = values[:, channel].sort().values
        costs = [
            float(ordered[:cut].var(unbiased=False) * cut + ordered[cut:].var(unbiased=False) * (50 - cut))
            for cut in range(1, 50)
        ]
        best = 1 + min(range(49), key=lambda index: costs[index])
        assert low[channel].item() == pytest.approx(float(ordered[:best].mean()), abs=1e-4)
        assert high[channel].item() == pytest.approx(float(ordered[best:].mean()), abs=1e-4)
        assert ordered[best - 1] < threshold[channel] < ordered[best]


def test_binarised_nodes_have_two_values(planted: Any, make_case: Any, run_check: Any) -> None:
    case = make_case(planted.model, planted.task, planted.nodes)
    steps = fitted_steps(case)
    record = Record()
    ablation = MeanAblation(case.nodes, case.means)
    answer_logits(planted.model, case.batch, lambda name, x: record(name, steps(name, ablation(name, x))))
    for site, mask in planted.nodes.items():
        assert record.values[site][..., mask].unique().numel() <= 2 * int(mask.count_nonzero())
        outside = record.values[site][..., ~mask]
        torch.testing.assert_close(outside, case.means[site][~mask].expand_as(outside))


def test_a_planted_circuit_can_be_binarised(planted: Any, make_case: Any, run_check: Any) -> None:
    """Whether the head's average is positive is all that matters: steps can say it."""
    case = make_case(planted.model, planted.task, planted.nodes, binarisation_steps=60, binarisation_lrs=(0.02,))
    finding = run_check("binarisation", case)
    assert finding.verdict == "holds", finding.says
    assert finding.numbers["binarised"].value <= finding.numbers["two means"].value + 1e-6
