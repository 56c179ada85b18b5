"""Density and learning rate at the corners of their schedules."""

from __future__ import annotations

import math

import pytest

from sparsegpt2 import OptimizerConfig, SparsityConfig, UserError
from sparsegpt2.sparsity.schedule import density_at, learning_rate_at

SPARSE = SparsityConfig(density=0.04)


def test_linear_density_at_its_corners():
    assert density_at(0.0, SPARSE) == density_at(0.01, SPARSE) == 1.0
    assert density_at(0.255, SPARSE) == pytest.approx(1 - 0.96 / 2)
    assert density_at(0.5, SPARSE) == density_at(1.0, SPARSE) == 0.04


def test_power_law_is_straight_on_a_log_log_plot():
    config = SparsityConfig(density=0.04, anneal="power")
    middle = math.sqrt(0.01 * 0.5)
    assert density_at(0.01, config) == 1.0
    assert density_at(middle, config) == pytest.approx(0.2)
    assert density_at(0.5, config) == 0.04


def test_exponential_is_straight_on_a_log_linear_plot():
    assert density_at(0.255, SparsityConfig(density=0.04, anneal="exponential")) == pytest.approx(0.2)


def test_sharkfin_at_its_corners():
    optimizer = OptimizerConfig(lr=0.02)
    assert learning_rate_at(0.0, optimizer, SPARSE) == 0
    assert learning_rate_at(0.005, optimizer, SPARSE) == pytest.approx(0.02 * 0.5 * math.sqrt(0.04))
    assert learning_rate_at(0.01, optimizer, SPARSE) == pytest.approx(0.02 * math.sqrt(0.04))
    assert learning_rate_at(0.5, optimizer, SPARSE) == pytest.approx(0.02 * 0.5 / 0.99)
    assert learning_rate_at(1.0, optimizer, SPARSE) == 0


def test_a_dense_model_has_plain_warmup_and_decay():
    assert learning_rate_at(0.505, OptimizerConfig(lr=1.0), SparsityConfig()) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [{"density": 0}, {"density": 2}, {"anneal_start": 0.6}, {"anneal": "power", "anneal_start": 0}, {"min_alive": -1}],
)
def test_wrong_settings(wrong):
    with pytest.raises(UserError, match=next(iter(wrong)) if "anneal" not in wrong else "anneal_start"):
        SparsityConfig(**wrong)
