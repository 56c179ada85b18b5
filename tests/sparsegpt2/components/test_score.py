"""Scores of circuits and comparisons with known ones, on cases worked out by hand."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, score_circuits
from sparsegpt2.components.objectives import OBJECTIVES, damage
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.score import auc, completeness, iou, minimality, roc_curve, smallest_faithful

PLANTED = ["emb→a0.h0.v", "a0.h0→m0", "m0→logits"]


def test_auc_by_hand():
    truth = torch.tensor([True, False, True, False])
    assert auc(torch.tensor([4.0, 1.0, 3.0, 2.0]), truth) == 1
    assert auc(torch.tensor([1.0, 4.0, 2.0, 3.0]), truth) == 0
    assert auc(torch.tensor([4.0, 3.0, 2.0, 1.0]), truth) == 0.75
    assert auc(torch.zeros(4), truth) == 0.5  # ties are no luck of the order
    assert roc_curve(torch.tensor([2.0, 1.0, 2.0, 0.0]), truth) == ([0.0, 0.0, 0.5, 1.0], [0.0, 1.0, 1.0, 1.0])


def test_iou_by_hand():
    a, b, c = (torch.tensor(mask, dtype=torch.bool) for mask in ([1, 1, 0], [1, 0, 0], [0, 0, 1]))
    assert iou([a, b]) == 0.5 and iou([a, a]) == 1
    assert iou([a, b, c]) == pytest.approx((0.5 + 0 + 0) / 3)


def test_objectives_by_hand(task):
    batch = task.batch("train", 1, 0)
    full = torch.zeros(2, 10)
    logits = full.clone()
    rows = torch.arange(2)
    logits[rows, batch.answer] = 2.0
    probability = logits.softmax(-1)
    expected = {
        "kl": (0.1 * (0.1 / probability).log()).sum(-1),
        "logit_difference": torch.tensor([-2.0, -2.0]),
        "task": torch.nn.functional.softplus(torch.tensor([-2.0, -2.0])),
        "squared_error": torch.tensor([4.0, 4.0]),
    }
    for name in OBJECTIVES:
        assert torch.allclose(damage(name, logits, full, batch), expected[name], atol=1e-6), name
    with pytest.raises(UserError, match="objective must be"):
        damage("beauty", logits, full, batch)


def planted_problem(planted, objective="logit_difference") -> Problem:
    return Problem(planted.model, planted.task, DiscoverConfig(), objective)


def test_the_planted_circuit_does_the_task_and_nothing_less_does(planted):
    graph = planted_problem(planted).graph
    circuits = [graph.mask(names) for names in (PLANTED, PLANTED[:2], list(graph.edge_names))]
    wholes = tuple(ComponentCircuit(graph, mask) for mask in circuits)
    whole, broken, everything = score_circuits(planted.model, planted.task, wholes, DiscoverConfig(), pairs=16)
    assert whole.accuracy == 1 and whole.logit_difference == pytest.approx(whole.logit_difference_full, rel=1e-4)
    assert broken.accuracy == 0 and broken.logit_difference == pytest.approx(-whole.logit_difference, rel=1e-4)
    assert everything.kl == pytest.approx(0, abs=1e-6) and everything.exact_match == 1
    with pytest.raises(UserError, match="layers"):
        other = ComponentCircuit(type(graph)(2, 2), type(graph)(2, 2).present)
        score_circuits(planted.model, planted.task, (other,), DiscoverConfig())


def test_completeness_and_minimality_of_the_planted_circuit(planted):
    problem = planted_problem(planted)
    with frozen(planted.model, torch.float32):
        mask = problem.graph.mask(PLANTED)
        padded = problem.graph.mask([*PLANTED, "emb→a0.h1.q"])
        assert completeness(problem, mask, split="test", pairs=8, samples=6).max() < 1e-4
        lacking = completeness(problem, problem.graph.mask(PLANTED[:2]), split="test", pairs=8, samples=6)
        assert lacking.max() > 1
        assert minimality(problem, mask, split="test", pairs=8).min() > 1
        assert minimality(problem, padded, split="test", pairs=8).min() < 1e-5


def test_the_smallest_faithful_prefix(planted):
    problem = planted_problem(planted)
    scores = problem.graph.mask(PLANTED).float() + 0.5 * problem.graph.mask(["emb→m0"]).float()
    with frozen(planted.model, torch.float32):
        found = smallest_faithful(problem, scores, 1e-4, split="validation", pairs=8)
        assert problem.graph.names(found) == problem.graph.names(problem.graph.mask(PLANTED))
        assert smallest_faithful(problem, scores, -100.0, split="validation", pairs=8) is None
