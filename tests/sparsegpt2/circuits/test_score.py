from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegpt2 import UserError
from sparsegpt2.circuits.calibrate import Calibration
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.circuits.score import evaluate, unpruned_loss
from sparsegpt2.circuits.task import TaskBatch


def batch_of(answer: list[int], alternative: list[int]) -> TaskBatch:
    rows = len(answer)
    columns = {"position": torch.zeros(rows, dtype=torch.int64), "tokens": torch.zeros(rows, 1, dtype=torch.int64)}
    return TaskBatch(answer=torch.tensor(answer), alternative=torch.tensor(alternative), **columns)


def test_the_loss_of_each_kind_of_row_against_its_definition() -> None:
    logits = torch.randn(6, 7, dtype=torch.float64) * 3
    batch = batch_of([2, 5, 3, -1, -1, 0], [4, 1, -1, 3, 0, -1])
    p = logits.softmax(dim=1)
    expected = [
        -math.log(p[0, 2] / (p[0, 2] + p[0, 4])),
        -math.log(p[1, 5] / (p[1, 5] + p[1, 1])),
        -math.log(p[2, 3]),
        -math.log(1 - p[3, 3]),
        -math.log(1 - p[4, 0]),
        -math.log(p[5, 0]),
    ]
    torch.testing.assert_close(task_loss(logits, batch), torch.tensor(expected, dtype=torch.float64))


def test_the_loss_stays_finite_where_probabilities_do_not() -> None:
    logits = torch.tensor([[300.0, 0.0, 0.0]] * 4)
    loss = task_loss(logits, batch_of([1, 0, -1, 1], [0, 1, 0, -1]))
    assert loss.tolist() == pytest.approx([300, 0, 300 - math.log(2), 300], abs=1e-4)


def test_both_sides_of_a_pair_count_and_are_averaged(planted: Any) -> None:
    batch = planted.task.batch("validation", 8, 0)
    by_row = task_loss(answer_logits(planted.model, batch), batch)
    score = evaluate(planted.model, planted.task, Circuit(every_node(planted.model)), split="validation", pairs=8)
    assert score.loss == pytest.approx(float(by_row.sum() / 16)) == pytest.approx(score.loss_full)
    planted.model.unembed.weight[7, 2] *= -2  # now FOR_A is right for b and wrong for a ...
    worse = task_loss(answer_logits(planted.model, batch), batch)
    assert (worse[0::2] > by_row[0::2]).all() and (worse[1::2] > by_row[1::2]).all()  # ... and either side says so
    assert unpruned_loss(planted.model, planted.task, split="validation", pairs=8) == pytest.approx(float(worse.mean()))


def test_an_empty_circuit_is_at_chance(planted: Any) -> None:
    nothing = Circuit({site: mask & False for site, mask in planted.nodes.items()})
    score = evaluate(planted.model, planted.task, nothing)
    assert score.loss == pytest.approx(math.log(2))
    assert score.loss_full < 0.15 and score.accuracy_full == 1 and score.split == "test" and score.pairs == 256
    assert planted.task.asked[-1] == ("test", 256, 0)


def test_standard_error_and_accuracy(planted: Any) -> None:
    planted.model.unembed.weight[7, 2] = -1  # noise of other channels decides some rows
    planted.model.unembed.weight[7, 3:] = torch.randn(5) * 30
    batch = planted.task.batch("test", 40, 0)
    logits = answer_logits(planted.model, batch)
    pair_losses = task_loss(logits, batch).view(40, 2).mean(1)
    score = evaluate(planted.model, planted.task, Circuit(every_node(planted.model)), pairs=40)
    assert score.loss_error == pytest.approx(float(pair_losses.std() / math.sqrt(40)), rel=1e-5)
    right = (logits[:, 7] > logits[:, 8]) == (batch.answer == 7)
    assert score.accuracy == pytest.approx(float(right.float().mean()))
    assert 0 < score.accuracy < 1


def test_padding_and_pieces_change_nothing(planted: Any) -> None:
    batch = planted.task.batch("test", 5, 1)
    longer = replace(batch, tokens=torch.cat([batch.tokens, torch.full((10, 2), 0)], dim=1))
    whole = answer_logits(planted.model, batch)
    assert torch.equal(answer_logits(planted.model, longer), whole)
    parts = list(batch.by_length(5))
    assert [len(part) for _, part in parts] == [4, 4, 2]
    assert sorted(torch.cat([rows for rows, _ in parts]).tolist()) == list(range(10))
    for rows, part in parts:
        assert rows[1::2].tolist() == (rows[::2] + 1).tolist()  # pairs stay together
        torch.testing.assert_close(answer_logits(planted.model, part), whole[rows])
        torch.testing.assert_close(answer_logits(planted.model, part, position_only=True), whole[rows])
    twice = answer_logits(planted.model, batch, runs=2)
    torch.testing.assert_close(twice, torch.cat([whole, whole]))


def test_a_calibration_in_the_circuit_is_applied(planted: Any) -> None:
    circuit = Circuit(planted.nodes)
    plain = evaluate(planted.model, planted.task, circuit)
    circuit = circuit.noting(calibration=Calibration(scale=1.0, shifts={7: 50.0}))
    shifted = evaluate(planted.model, planted.task, circuit)
    assert plain.accuracy == 1 and shifted.accuracy == 0.5  # FOR_A always wins
    assert shifted.loss_full == plain.loss_full


def test_a_mask_over_weights_is_applied(planted: Any) -> None:
    kept = torch.ones(24, 8, dtype=torch.bool)
    weights = {"blocks.0.attn.c_attn.weight": kept}
    assert evaluate(planted.model, planted.task, Circuit(planted.nodes, weights=weights)).accuracy == 1
    kept[16, 0] = False  # the one edge from act_in to v
    assert evaluate(planted.model, planted.task, Circuit(planted.nodes, weights=weights)).loss == pytest.approx(
        math.log(2)
    )


def test_prompts_the_model_cannot_read_are_said(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**changes: Tensor) -> Any:
        good = planted.task.batch("test", 4, 0)
        monkeypatch.setattr(planted.task, "batch", lambda *_: replace(good, **changes), raising=False)
        return planted.task

    circuit = Circuit(planted.nodes)
    with pytest.raises(UserError, match="token 9, but the model's vocabulary has 9"):
        evaluate(planted.model, broken(alternative=torch.full((8,), 9)), circuit)
    monkeypatch.undo()
    changes = {"tokens": torch.zeros(8, 12, dtype=torch.int64), "position": torch.full((8,), 9)}
    with pytest.raises(UserError, match="prompt of 10 tokens, longer than the model's context of 8"):
        evaluate(planted.model, broken(**changes), circuit)


def test_nan_weights_give_no_score(planted: Any) -> None:
    planted.model.unembed.weight[7, 2] = math.nan
    with pytest.raises(UserError, match="loss on task planted is not finite"):
        evaluate(planted.model, planted.task, Circuit(planted.nodes))
