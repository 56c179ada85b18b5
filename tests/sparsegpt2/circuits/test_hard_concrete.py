"""The hard-concrete distribution against numerical integration and its own samples."""

from __future__ import annotations

import pytest
import torch

from sparsegpt2.circuits import hard_concrete as hc

ALPHAS = [-3.0, -0.5, 0.0, 1.0, 4.0]


def integral(low: float, high: float, log_alpha: float, points: int = 400_001) -> float:
    """Of the density, by substituting a sigmoid so that the steep ends are resolved."""
    y = torch.linspace(-40, 40, points, dtype=torch.float64)
    s = torch.sigmoid(y)
    x = s * (hc.HIGH - hc.LOW) + hc.LOW
    inside = (x > low) & (x < high)
    weight = hc.density(x, torch.tensor(log_alpha, dtype=torch.float64)) * s * (1 - s) * (hc.HIGH - hc.LOW)
    weight = torch.where(inside, weight, torch.zeros_like(weight)).nan_to_num()
    return float(torch.trapezoid(weight, y))


@pytest.mark.parametrize("log_alpha", ALPHAS)
def test_the_density_integrates_to_one_and_to_the_expected_l0(log_alpha):
    assert integral(hc.LOW, hc.HIGH, log_alpha) == pytest.approx(1, abs=1e-5)
    expected = float(hc.expected_l0(torch.tensor(log_alpha, dtype=torch.float64)))
    assert integral(0, hc.HIGH, log_alpha) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("log_alpha", ALPHAS)
def test_samples_follow_the_density(log_alpha):
    generator = torch.Generator().manual_seed(0)
    masks = hc.sample(torch.full((200_000,), log_alpha), generator)
    assert float((masks > 0).float().mean()) == pytest.approx(float(hc.expected_l0(torch.tensor(log_alpha))), abs=5e-3)
    assert float((masks == 1).float().mean()) == pytest.approx(integral(1, hc.HIGH, log_alpha), abs=5e-3)
    between = ((masks > 0.2) & (masks < 0.7)).float().mean()
    assert float(between) == pytest.approx(integral(0.2, 0.7, log_alpha), abs=5e-3)


def test_masks_have_a_gradient_where_they_are_not_clamped():
    log_alpha = torch.zeros(64, requires_grad=True)
    masks = hc.sample(log_alpha, torch.Generator().manual_seed(0))
    masks.sum().backward()
    free = (masks > 0) & (masks < 1)
    assert bool((log_alpha.grad[free] > 0).all()) and bool((log_alpha.grad[~free] == 0).all())


def test_settled_masks_reach_both_ends():
    assert hc.settled(torch.tensor([-9.0, 0.0, 9.0])).tolist() == [0.0, 0.5, 1.0]
