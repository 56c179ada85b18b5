from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, LossCurve, PruneConfig, Ranking, evaluate
from sparsegpt2.circuits.discretize import bisect, geometric_grid, scan
from sparsegpt2.circuits.gates import split_nodes
from sparsegpt2.model.sites import node_sites


class MadeUpCurve:
    """A curve given by a formula, in place of a model's; counts how often it is asked."""

    def __init__(self, loss_of: Any, total: int, trained: int | None = None, first: int = 1, **settings: Any) -> None:
        self.loss_of, self.asked = loss_of, []
        self.config = PruneConfig(**settings)
        self.first_with_edges = first
        self.ranking = SimpleNamespace(size=total, trained_size=trained)

    def score(self, sizes: list[int]) -> list[float]:
        self.asked += sizes
        return [self.loss_of(k) for k in sizes]

    def loss(self, k: int) -> float:
        return self.score([k])[0]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_on_a_falling_curve_bisection_is_exact_and_the_scan_within_its_precision(first: int, total: int) -> None:
    first = min(first, total)
    curve: Any = MadeUpCurve(lambda k: 0.1 if k >= first else 0.2, total)
    assert bisect(curve, 0.15) == first
    found = scan(curve, 0.15)
    assert found is not None and first <= found <= max(first + 1, first * 1.02)


@given(st.floats(0.05, 0.5), st.integers(5, 2000), st.integers(0, 100))
def test_the_scan_never_settles_above_a_size_it_saw_meet_the_target(target: float, total: int, seed: int) -> None:
    losses = torch.rand(total + 1, generator=torch.Generator().manual_seed(seed)).tolist()
    curve: Any = MadeUpCurve(lambda k: losses[k], total, trained=total // 3)
    found = scan(curve, target)
    met = [k for k in curve.asked if losses[k] <= target]
    assert found == (min(met) if met else None)
    if total // 3 > 0:
        assert total // 3 in curve.asked


def test_where_the_loss_rises_again_bisection_misses_what_the_scan_finds() -> None:
    def dented(k: int) -> float:
        return 0.1 if 380 <= k <= 460 or k >= 1092 else 0.3

    curve: Any = MadeUpCurve(dented, 5632, trained=425)
    assert bisect(curve, 0.15) == 1092
    assert scan(curve, 0.15) in range(380, 388)


def test_no_size_meets_the_target() -> None:
    curve: Any = MadeUpCurve(lambda k: 0.5, 100)
    assert scan(curve, 0.15) is None and bisect(curve, 0.15) is None
    assert 100 in curve.asked and 1 in curve.asked


@given(st.integers(1, 50), st.integers(0, 5000), st.floats(1.001, 3))
def test_a_grid_runs_from_end_to_end_without_wide_steps(first: int, further: int, ratio: float) -> None:
    grid = geometric_grid(first, first + further, ratio)
    assert (grid[0], grid[-1]) == (first, first + further)
    for one, other in pairwise(grid):
        assert one < other and (other == one + 1 or other < (one + 1) * ratio)


def random_ranking(model: Any, seed: int = 0) -> Ranking:
    sites = node_sites(model.config)
    generator = torch.Generator().manual_seed(seed)
    return Ranking(split_nodes(torch.randn(sum(sites.values()), generator=generator), sites))


def test_batched_scores_equal_those_of_single_circuits(planted: Any) -> None:
    ranking = random_ranking(planted.model)
    sizes = [1, 5, 20, 40, 50, 55, 59, 60]
    for rows in (4, 30, 512):  # less than a batch, about two runs a forward, all runs in one
        config = PruneConfig(validation_pairs=7, score_rows=rows)
        losses = LossCurve(planted.model, planted.task, ranking, config).score(sizes)
        for k, loss in zip(sizes, losses, strict=True):
            circuit = Circuit(ranking.nodes(k))
            assert circuit.n_nodes == k
            alone = evaluate(planted.model, planted.task, circuit, split="validation", pairs=7).loss
            assert loss == pytest.approx(alone, abs=1e-6)


def test_one_fixed_batch_serves_every_size_and_every_curve(planted: Any) -> None:
    ranking, config = random_ranking(planted.model), PruneConfig(validation_pairs=16, seed=5)
    curves = [LossCurve(planted.model, planted.task, ranking, config) for _ in range(2)]
    for curve in curves:
        scan(curve, 0.15)
        bisect(curve, 0.15)
    assert planted.task.asked.count(("validation", 16, 0)) == 2  # once a curve, the same each time
    assert {split for split, *_ in planted.task.asked} == {"train", "validation"}  # "train": the fixture's means
    shared = set(curves[0].losses) & set(curves[1].losses)
    assert shared and all(curves[0].losses[k] == curves[1].losses[k] for k in shared)


def test_the_scan_begins_where_there_is_an_edge(planted: Any) -> None:
    ranking = random_ranking(planted.model)
    curve = LossCurve(planted.model, planted.task, ranking, PruneConfig(validation_pairs=4))
    assert scan(curve, 1e-12) is None
    smallest = min(curve.losses)
    assert smallest > 1 and Circuit(ranking.nodes(smallest - 1)).edges(planted.model) == 0
    assert Circuit(ranking.nodes(smallest)).edges(planted.model) > 0


def test_points_tell_nodes_edges_and_loss(planted: Any) -> None:
    ranking = random_ranking(planted.model)
    curve = LossCurve(planted.model, planted.task, ranking, PruneConfig(validation_pairs=4))
    curve.score([30, 10])
    expected = [[k, Circuit(ranking.nodes(k)).edges(planted.model), curve.losses[k]] for k in (10, 30)]
    assert curve.points() == expected


def test_nan_weights_give_no_curve(planted: Any) -> None:
    planted.model.unembed.weight[7, 2] = math.nan
    curve = LossCurve(planted.model, planted.task, random_ranking(planted.model), PruneConfig())
    with pytest.raises(UserError, match="is not finite"):
        curve.loss(10)
