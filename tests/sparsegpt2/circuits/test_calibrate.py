from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.circuits import LossCurve, PruneConfig, circuit_at, evaluate, rank_nodes
from sparsegpt2.circuits.calibrate import Calibration, fit_calibration


@pytest.fixture
def biased() -> tuple[Tensor, Tensor]:
    """Logits of two answers, tokens 1 and 3, that favour token 1 by 4 nats and are three times too large; [200, 5]."""
    torch.manual_seed(0)
    evidence = torch.randn(200)
    answer = torch.where(torch.rand(200) < torch.sigmoid(evidence), 3, 1)
    logits = torch.zeros(200, 5)
    logits[:, 3], logits[:, 1] = 3 * evidence, 4
    return logits, answer


def two_token_loss(logits: Tensor, answer: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, [1, 3]], (answer == 3).long())


def test_calibration_finds_scale_and_shift_that_matter(biased: tuple[Tensor, Tensor]) -> None:
    logits, answer = biased
    before = two_token_loss(logits, answer)
    fitted = fit_calibration(logits, answer, lambda x: two_token_loss(x, answer))
    after = two_token_loss(fitted.apply(logits), answer)
    assert before > 1 and after < 0.64  # a calibrated observer of this evidence has about 0.58
    assert fitted.scale == pytest.approx(1 / 3, abs=0.15)
    assert set(fitted.shifts) == {1, 3}
    assert fitted.shifts[3] - fitted.shifts[1] == pytest.approx(4 / 3, abs=0.6)


def test_a_shift_common_to_all_tokens_does_nothing(biased: tuple[Tensor, Tensor]) -> None:
    logits, answer = biased
    before = two_token_loss(logits, answer)
    common = Calibration(scale=1.0, shifts=dict.fromkeys(range(5), 7.0))
    torch.testing.assert_close(two_token_loss(common.apply(logits), answer), before)
    single = Calibration(scale=1.0, shifts={1: -4.0})
    assert two_token_loss(single.apply(logits), answer) < before - 0.1


def test_plain_values_bring_a_calibration_back_and_logits_are_left_alone() -> None:
    calibration = Calibration(scale=0.5, shifts={2: 1.25, 7: -3.0})
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    logits = torch.ones(2, 8)
    assert calibration.apply(logits)[0].tolist() == [0.5, 0.5, 1.75, 0.5, 0.5, 0.5, 0.5, -2.5]
    assert torch.equal(logits, torch.ones(2, 8))


def test_anything_else_gets_no_shift() -> None:
    fitted = fit_calibration(torch.randn(6, 4), torch.tensor([2, -1, 2, -1, 2, -1]), lambda x: x.pow(2).mean())
    assert set(fitted.shifts) == {2}


def test_a_calibrated_circuit_says_so_and_is_scored_so(planted: Any) -> None:
    planted.model.unembed.weight[7, 1] += 1.5  # part of the evidence is lost in the circuit, which is off balance
    config = PruneConfig(pruner="attribution", target_loss=0.3, calibrate=True)
    ranking = rank_nodes(planted.model, planted.task, config)
    calibrated = circuit_at(LossCurve(planted.model, planted.task, ranking, config), 0.3)
    plain = circuit_at(LossCurve(planted.model, planted.task, ranking, PruneConfig(pruner="attribution")), 0.3)
    assert calibrated.info.calibrated and not plain.info.calibrated and plain.info.calibration is None
    assert calibrated.info.k == plain.info.k
    assert calibrated.info.validation_loss < plain.info.validation_loss - 0.01
    losses = [evaluate(planted.model, planted.task, circuit).loss for circuit in (calibrated, plain)]
    assert losses[0] < losses[1] - 0.01
