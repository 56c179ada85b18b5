"""Nonsense tasks, random models, and circuits that are not believable by themselves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sparsegpt2.circuits import Circuit, PruneConfig
from sparsegpt2.circuits.means import node_means
from sparsegpt2.evidence import Report
from sparsegpt2.evidence.checks import controls as module
from sparsegpt2.evidence.twins import NonsenseTask, random_twin


def test_shuffled_answers_are_consistent_and_all_different(planted: Any) -> None:
    nonsense = NonsenseTask(planted.task, 9, 0)
    assert sorted(nonsense.table().tolist()) == list(range(9))
    assert (nonsense.table() != torch.arange(9)).all()
    real, fake = planted.task.batch("test", 20, 3), nonsense.batch("test", 20, 3)
    assert torch.equal(real.tokens, fake.tokens) and torch.equal(real.position, fake.position)
    exchanged = {(int(a), int(b)) for a, b in zip(real.answer, fake.answer, strict=True)}
    assert len(exchanged) == 2 and len({b for _, b in exchanged}) == 2
    assert torch.equal(nonsense.table()[real.alternative], fake.alternative)


def test_anything_else_stays_anything_else(planted: Any) -> None:
    planted.task.with_alternative = False
    batch = NonsenseTask(planted.task, 9, 1).batch("test", 4, 0)
    assert (batch.answer[1::2] == -1).all() and (batch.alternative[0::2] == -1).all()
    assert (batch.answer[0::2] >= 0).all()


@pytest.mark.parametrize("kind", ["initial", "permuted"])
def test_random_twins_have_the_models_shape_and_density(random_model: Any, kind: str) -> None:
    for parameter in random_model.parameters():
        parameter.mul_(torch.rand_like(parameter) < 0.4)
    before = {name: parameter.clone() for name, parameter in random_model.named_parameters()}
    text = torch.randint(9, (8, 8))
    twin, again = random_twin(random_model, kind, 3, text), random_twin(random_model, kind, 3, text)
    other = random_twin(random_model, kind, 4, text)
    for name, parameter in twin.named_parameters():
        trained = before[name]
        assert torch.equal(parameter, again.get_parameter(name))
        assert torch.equal(trained, random_model.get_parameter(name))  # the trained model is left alone
        if kind == "permuted":
            assert torch.equal(parameter.flatten().sort().values, trained.flatten().sort().values)
        elif trained.ndim == 2 and name != "bigram":  # biases and the bigram table start at zero
            assert int(parameter.count_nonzero()) == int(trained.count_nonzero())
    assert not torch.equal(twin.wte.weight, other.wte.weight)
    expected = node_means(twin, text)
    assert all(torch.equal(twin.means[site], mean) for site, mean in expected.items())


def with_control_sizes(monkeypatch: pytest.MonkeyPatch, sizes: dict[str, tuple[int, bool]]) -> None:
    """Let prunings of the controls find circuits of the given edges, without pruning."""

    def measured(_case: Any, control: Any, seed: int, _progress: Any) -> dict[str, Any]:
        _, task = control(seed)
        edges, reached = sizes["nonsense" if isinstance(task, NonsenseTask) else "twin"]
        return {"edges": edges, "nodes": 1, "reached": reached, "loss": 0.1, "loss_full": 0.7}

    monkeypatch.setattr(module, "measure", measured)


def test_controls_must_be_five_times_larger(
    planted: Any, make_case: Any, run_check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(planted.model, planted.task, planted.nodes)
    for nonsense, twin, verdict in ((30, 30, "holds"), (29, 60, "fails"), (60, 29, "fails"), (600, 6, "fails")):
        with_control_sizes(monkeypatch, {"nonsense": (nonsense, True), "twin": (twin, True)})
        finding = run_check("controls", case)
        assert finding.verdict == verdict
        ratio = finding.numbers["log2 of size ratio, shuffled answers"].value
        assert ratio == pytest.approx(math.log2(nonsense / planted.edges))
    with_control_sizes(monkeypatch, {"nonsense": (70, False), "twin": (70, True)})
    assert "shuffled answers more than 11.7 times as large" in run_check("controls", case).says


def test_a_pruner_that_makes_circuits_of_anything_is_caught(
    planted: Any, make_case: Any, run_check: Any, make_masks: Any
) -> None:
    """A target that any handful of nodes meets: nonsense needs no more edges than the task, and the check says so."""
    prune = PruneConfig(pruner="random", target_loss=0.6932, validation_pairs=8)
    nodes = make_masks(planted.model, planted.circuit)
    finding = run_check("controls", make_case(planted.model, planted.task, nodes, prune=prune))
    assert finding.verdict == "fails"
    assert finding.details["shuffled answers"][0]["reached"]


def test_cancelling_ablations_that_fake_a_circuit_are_flagged(planted: Any, make_case: Any, run_check: Any) -> None:
    """The model carries the nonsense task's answers to its logits and takes most of that away again, so in the model
    little comes of it; ablating what takes it away fakes a circuit of the same size as the real one."""
    model, mlp = planted.model, planted.model.blocks[0].mlp
    for_a, for_b = NonsenseTask(planted.task, 9, 0).table()[[7, 8]].tolist()
    mlp.c_fc.weight[8:12], mlp.c_proj.weight[:, 8:12], mlp.c_proj.weight[5] = 0, 0, 0
    for neuron, sign, carried in ((8, 1, 1), (9, -1, -1), (10, 1, -0.8), (11, -1, 0.8)):
        mlp.c_fc.weight[neuron, 1], mlp.c_proj.weight[5, neuron] = sign, carried
    model.unembed.weight[:, 5] = 0
    model.unembed.weight[for_a, 5], model.unembed.weight[for_b, 5] = 3, -3
    model.means = node_means(model, planted.task.batch("train", 64, 0).tokens)
    prune = PruneConfig(pruner="node", pairs=8, steps=80, lr=0.03, validation_pairs=16, dtype="float32")
    finding = run_check("controls", make_case(model, planted.task, planted.nodes, prune=prune, twins=()))
    assert finding.verdict == "fails" and finding.details["shuffled answers"][0]["reached"], finding.says
    report = Report(identity="", about={}, findings={"controls": finding})
    assert report.summary() == "not believable; fails: controls"


def test_a_circuit_without_edges_has_no_controls(planted: Any, make_case: Any, run_check: Any) -> None:
    nothing = {site: mask & False for site, mask in planted.nodes.items()}
    assert run_check("controls", make_case(planted.model, planted.task, nothing)).verdict == "not run"
    assert Circuit(nothing).edges(planted.model) == 0
