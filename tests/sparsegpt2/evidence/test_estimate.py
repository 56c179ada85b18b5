"""Sampling errors against slow definitions and simulation, and what thresholds make of them."""

from __future__ import annotations

import math

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.evidence.estimate import (
    Estimate,
    all_of,
    at_least,
    at_most,
    jackknife,
    mean_of,
    mean_over_draws,
    mean_over_pairs,
)


def test_the_error_of_a_mean_over_pairs_takes_the_two_sides_together() -> None:
    rows = torch.tensor([0.0, 2.0, 4.0, 4.0, 1.0, 1.0])  # pairs: 1, 4, 1
    found = mean_over_pairs(rows)
    assert (found.value, found.n, found.over) == (2.0, 3, "pairs")
    assert found.error == pytest.approx(math.sqrt(((1 - 2) ** 2 * 2 + (4 - 2) ** 2) / 2 / 3))
    assert mean_over_pairs(rows[:2]).error is None


def test_the_error_over_draws_and_pairs_covers_both() -> None:
    """Against the spread of the estimate over many repetitions of the whole experiment."""
    generator = torch.Generator().manual_seed(0)
    found, errors = [], []
    for _ in range(600):
        draws = torch.randn(6, 1, generator=generator)
        pairs = torch.randn(1, 10, generator=generator).repeat_interleave(2, dim=1)
        table = draws + 2 * pairs + 0.5 * torch.randn(6, 20, generator=generator)
        estimate = mean_over_draws(table)
        found.append(estimate.value)
        errors.append(estimate.error)
    spread = float(torch.tensor(found).std())
    assert float(torch.tensor(errors).square().mean().sqrt()) == pytest.approx(spread, rel=0.1)


def test_one_draw_or_one_pair_leaves_the_other_error() -> None:
    rows = torch.tensor([[0.0, 2.0, 4.0, 4.0]])
    assert mean_over_draws(rows) == mean_over_pairs(rows[0])
    assert mean_over_draws(torch.tensor([[0.0, 2.0], [3.0, 3.0]])) == mean_of([1.0, 3.0], "draws")


def test_the_jackknife_leaves_out_one_thing_a_time() -> None:
    table = torch.tensor([[1.0, 0.2, 0.4], [0.2, 1.0, 0.9], [0.4, 0.9, 1.0]])
    found = jackknife(table, "seeds")
    assert found.value == pytest.approx(0.5)
    without = [0.9, 0.4, 0.2]  # the pair that is left
    mean = sum(without) / 3
    assert found.error == pytest.approx(math.sqrt(2 / 3 * sum((value - mean) ** 2 for value in without)))
    assert jackknife(table[:2, :2], "seeds").error is None


def test_thresholds_are_unclear_within_two_errors() -> None:
    for value, verdict in ((0.5, "holds"), (0.79, "holds"), (0.9, "unclear"), (1.1, "unclear"), (1.3, "fails")):
        assert at_most(Estimate(value, 0.1, 9, "pairs"), 1.0) == verdict
        assert at_least(Estimate(-value, 0.1, 9, "pairs"), -1.0) == verdict
    assert at_most(Estimate(1.0, None, 1, "draws"), 1.0) == "holds"
    assert at_least(Estimate(0.99, None, 1, "draws"), 1.0) == "fails"


def test_verdicts_join() -> None:
    assert all_of(["holds", "not run"]) == "holds"
    assert all_of(["holds", "unclear"]) == "unclear"
    assert all_of(["unclear", "fails", "holds"]) == "fails"
    assert all_of(["not run"]) == "not run"


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="not finite"):
        mean_of([1.0, math.nan], "pairs")
