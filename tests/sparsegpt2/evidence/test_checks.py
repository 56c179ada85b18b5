"""Each check on models solved by hand, and its numbers against slow, obvious ways to get them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sparsegpt2.circuits import Circuit, CircuitInfo
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.losses import choice_logits
from sparsegpt2.circuits.means import node_means
from sparsegpt2.circuits.score import circuit_logits
from sparsegpt2.evidence.checks.minimality import AT_ONCE
from sparsegpt2.evidence.checks.necessity import without_edges, without_random

CHANCE = math.log(2)
SUBLAYERS = ("attn", "mlp")


# --- The case -----------------------------------------------------------------------------------------------------


def test_losses_of_many_masks_at_once_are_those_of_each(
    random_model: Any, planted: Any, make_case: Any, by_hand: Any
) -> None:
    generator = torch.Generator().manual_seed(0)
    everything = {site: torch.ones(len(mean), dtype=torch.bool) for site, mean in random_model.means.items()}
    case = make_case(random_model, planted.task, everything, pairs=200)  # more rows than go into one forward pass
    masks = [case.random_nodes(0.5, everything, generator) for _ in range(3)]
    stacked = {site: torch.stack([mask[site] for mask in masks]) for site in everything}
    found = case.losses(stacked)
    for one, mask in zip(found, masks, strict=True):
        torch.testing.assert_close(one, by_hand(case, mask), atol=1e-5, rtol=1e-5)


def test_circuit_and_model_losses_agree_with_evaluate(planted: Any, make_case: Any, one_edge_off: Any) -> None:
    for weights in (None, one_edge_off):
        case = make_case(planted.model, planted.task, planted.nodes, weights)
        expected = circuit_logits(planted.model, Circuit(planted.nodes, weights=weights), case.batch)
        torch.testing.assert_close(case.circuit_logits, expected)
        torch.testing.assert_close(case.full_logits, circuit_logits(planted.model, None, case.batch))


def test_a_calibration_acts_on_the_circuit_only(planted: Any, make_case: Any) -> None:
    calibration = Calibration(scale=0.0, shifts={7: 3.0})
    case = make_case(planted.model, planted.task, planted.nodes, info=CircuitInfo(calibration=calibration))
    assert case.circuit_loss[0].item() == pytest.approx(math.log1p(math.exp(-3)))
    assert case.circuit_loss[1].item() == pytest.approx(math.log1p(math.exp(3)))
    assert float(case.full_loss.max()) < 0.1


# --- Losses -------------------------------------------------------------------------------------------------------


def test_sufficiency_of_a_planted_circuit(planted: Any, make_case: Any, run_check: Any, by_hand: Any) -> None:
    case = make_case(planted.model, planted.task, planted.nodes)
    finding = run_check("sufficiency", case)
    assert finding.verdict == "holds"
    zeros = {site: torch.zeros_like(mean) for site, mean in case.means.items()}
    for name, fill in (("mean", None), ("zero", zeros)):
        assert finding.numbers[name].value == pytest.approx(float(by_hand(case, case.nodes, fill).mean()), abs=1e-6)
    assert finding.numbers["full"].value == pytest.approx(float(case.full_loss.mean()))


def test_resampling_takes_nodes_from_text(planted: Any, make_case: Any, run_check: Any) -> None:
    """With nothing kept and text of one side only, every prompt gets that side's answer."""
    nothing = {site: mask & False for site, mask in planted.nodes.items()}
    case = make_case(planted.model, planted.task, nothing)
    side = planted.task.batch("train", 1, 0).tokens[:1]
    case.text = side.repeat(4, 2)[:, :8]
    finding = run_check("sufficiency", case)
    assert finding.numbers["mean"].value == pytest.approx(CHANCE, abs=1e-4)
    assert finding.numbers["resample"].value > 1  # sure of a, wrong on every b
    assert finding.verdict == "fails"


def test_necessity_of_a_planted_circuit(planted: Any, make_case: Any, run_check: Any, by_hand: Any) -> None:
    case = make_case(planted.model, planted.task, planted.nodes, pairs=8)
    finding = run_check("necessity", case)
    without = {site: ~mask for site, mask in planted.nodes.items()}
    assert finding.numbers["without circuit"].value == pytest.approx(float(by_hand(case, without).mean()), abs=1e-5)
    assert finding.numbers["without circuit"].value == pytest.approx(CHANCE, abs=1e-4)


def test_random_sets_have_the_circuits_size_at_every_site(planted: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(5):
        kept = without_random(planted.nodes, generator)
        for site, mask in planted.nodes.items():
            assert int((~kept[site]).count_nonzero()) == int(mask.count_nonzero())
        seen.add(tuple((~kept["0.mlp.post_act"]).nonzero().flatten().tolist()))
    assert len(seen) > 1


def test_an_edge_circuit_is_taken_out_edge_by_edge(
    planted: Any, make_case: Any, run_check: Any, by_hand: Any, one_edge_off: Any
) -> None:
    case = make_case(planted.model, planted.task, planted.nodes, one_edge_off)
    finding = run_check("necessity", case)
    assert finding.details["decided by"] == "edges"
    kept = without_edges(case)
    name = "blocks.0.mlp.c_proj.weight"
    assert (~kept[name]).nonzero().tolist() == [[2, 0]]  # the other edge to channel 2 is not the circuit's
    expected = float(by_hand(case, case.everything, weights=kept).mean())
    assert finding.numbers["without edges"].value == pytest.approx(expected, abs=1e-6)
    random = without_edges(case, torch.Generator().manual_seed(0))
    assert {n: int((~m).count_nonzero()) for n, m in random.items()} == {
        n: int((~m).count_nonzero()) for n, m in kept.items()
    }


def test_completeness_of_the_whole_model_is_perfect(
    random_model: Any, planted: Any, make_case: Any, run_check: Any
) -> None:
    everything = {site: torch.ones(len(mean), dtype=torch.bool) for site, mean in random_model.means.items()}
    finding = run_check("completeness", make_case(random_model, planted.task, everything))
    assert finding.numbers["gap"].value == pytest.approx(0, abs=1e-6) and finding.verdict == "holds"


def test_completeness_sees_a_backup_that_the_circuit_lacks(
    planted: Any, make_case: Any, run_check: Any, make_masks: Any
) -> None:
    """The planted route a second time: where the first is knocked out the model goes on and the circuit does not."""
    model, value = planted.model, 16  # the first row of v in c_attn
    attention, mlp = model.blocks[0].attn, model.blocks[0].mlp
    for rows in (attention.c_attn.weight[value + 1], attention.c_proj.weight[4], attention.c_proj.weight[:, 1]):
        rows.zero_()
    mlp.c_fc.weight[2:4], mlp.c_proj.weight[:, 2:4] = 0, 0
    model.wte.weight[[1, 2], 3] = torch.tensor([1.0, -1.0])
    attention.c_attn.weight[value + 1, 3] = 4
    attention.c_proj.weight[4, 1] = 1
    mlp.c_fc.weight[[2, 3], 4] = mlp.c_proj.weight[2, [2, 3]] = torch.tensor([1.0, -1.0])
    model.means = node_means(model, planted.task.batch("train", 64, 0).tokens)
    both = {site: [*kept] for site, kept in planted.circuit.items()}
    for site, more in (("attn.act_in", 3), ("attn.v", 1), ("attn.resid_delta", 4), ("mlp.act_in", 4)):
        both[f"0.{site}"].append(more)
    both["0.mlp.post_act"] += [2, 3]
    settings = {"draws": 12, "pairs": 8}
    half = run_check("completeness", make_case(model, planted.task, planted.nodes, **settings))
    whole = run_check("completeness", make_case(model, planted.task, make_masks(model, both), **settings))
    assert whole.numbers["gap"].value < 0.05 and whole.verdict == "holds"
    assert half.numbers["gap"].value > 0.2


def test_minimality_counts_idle_nodes(
    planted: Any, make_case: Any, run_check: Any, by_hand: Any, make_masks: Any
) -> None:
    case = make_case(planted.model, planted.task, planted.nodes)
    finding = run_check("minimality", case)
    assert finding.details["dropped"] == finding.details["nodes"] == 7
    assert finding.numbers["needed"].value == 1 and finding.verdict == "holds"
    gains = []
    batch = case.pairs("test", case.config.minimality_pairs)
    for site, mask in planted.nodes.items():
        for channel in mask.nonzero().flatten():
            smaller = {**planted.nodes, site: mask.clone()}
            smaller[site][channel] = False
            loss = by_hand(case, smaller, batch=batch) - by_hand(case, planted.nodes, batch=batch)
            gains.append(float(loss.mean()))
    assert finding.numbers["gain"].value == pytest.approx(sum(gains) / 7, abs=1e-5)
    assert finding.details["largest gain"] == pytest.approx(max(gains), abs=1e-5)

    idle = make_masks(planted.model, {**planted.circuit, "0.attn.q": [0, 1, 2, 3, 4, 5, 6]})  # q reaches no answer
    finding = run_check("minimality", make_case(planted.model, planted.task, idle))
    assert finding.numbers["needed"].value == 0.5 and finding.verdict == "fails"


def test_minimality_samples_large_circuits(random_model: Any, planted: Any, make_case: Any, run_check: Any) -> None:
    everything = {site: torch.ones(len(mean), dtype=torch.bool) for site, mean in random_model.means.items()}
    case = make_case(random_model, planted.task, everything, minimality_nodes=AT_ONCE + 1)
    assert run_check("minimality", case).details["dropped"] == AT_ONCE + 1


def test_agreement_against_its_definition(random_model: Any, planted: Any, make_case: Any, run_check: Any) -> None:
    everything = {site: torch.rand(len(mean)) < 0.8 for site, mean in random_model.means.items()}
    case = make_case(random_model, planted.task, everything)
    finding = run_check("agreement", case)
    p, q = case.full_logits.double().softmax(1), case.circuit_logits.double().softmax(1)
    over_vocabulary = (p * (p / q).log()).sum(1).mean()
    right, wrong = choice_logits(case.full_logits.double(), case.batch)
    mine, other = choice_logits(case.circuit_logits.double(), case.batch)
    a, b = torch.sigmoid(right - wrong), torch.sigmoid(mine - other)
    over_answers = (a * (a / b).log() + (1 - a) * ((1 - a) / (1 - b)).log()).mean()
    assert finding.numbers["KL over vocabulary"].value == pytest.approx(float(over_vocabulary))
    assert finding.numbers["KL over answers"].value == pytest.approx(float(over_answers))
    same = [int(x.argmax()) == int(y.argmax()) for x, y in zip(p, q, strict=True)]
    assert finding.numbers["exact match"].value == pytest.approx(sum(same) / len(same))
    assert finding.numbers["same choice"].value == pytest.approx(float(((a > 0.5) == (b > 0.5)).double().mean()))


def test_generalisation_names_what_breaks(planted: Any, make_case: Any, run_check: Any) -> None:
    """The planted head averages over all positions, so other tokens before a prompt dilute what it reads."""
    finding = run_check("generalisation", make_case(planted.model, planted.task, planted.nodes))
    assert finding.details["verdicts"]["seen"] == finding.details["verdicts"]["held-out names"] == "holds"
    assert {"seen", "held-out names", "longer", "distractors"} <= set(finding.numbers)
    assert finding.numbers["longer"].value > finding.numbers["held-out names"].value
    assert {split for split, _, _ in planted.task.asked} >= {"train", "test"}
