"""The fast path of pruning against the plain one that the benchmarks time it with: the same gates, sizes and losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.plain_prune import PlainCurve, plain_rank
from sparsegpt2.circuits import LossCurve, PruneConfig, circuit_at, rank_nodes

SETTINGS: dict[str, Any] = {"steps": 60, "pairs": 8, "validation_pairs": 16, "settle_steps": 0, "dtype": "float32"}


@pytest.mark.parametrize("drop_below", [-1.0, -0.05])
def test_the_same_gates_step_by_step(planted: Any, drop_below: float) -> None:
    config = PruneConfig(**SETTINGS, drop_below=drop_below)
    fast = rank_nodes(planted.model, planted.task, config)
    plain = plain_rank(planted.model, planted.task, config)
    assert [entry["kept"] for entry in fast.history] == [entry["kept"] for entry in plain.history]
    assert len({entry["kept"] for entry in plain.history}) > 3  # gates do close on the way
    assert [entry["task_loss"] for entry in fast.history] == pytest.approx(
        [entry["task_loss"] for entry in plain.history], rel=1e-4, abs=1e-6
    )
    assert fast.trained_size == plain.trained_size
    if drop_below == -1:  # nodes that are given up keep the tau they had then
        for site, scores in plain.scores.items():
            torch.testing.assert_close(fast.scores[site], scores, rtol=1e-3, atol=1e-4)


def test_the_same_losses_and_circuit(planted: Any) -> None:
    config = PruneConfig(**SETTINGS)
    ranking = rank_nodes(planted.model, planted.task, config)
    curves = [kind(planted.model, planted.task, ranking, config) for kind in (LossCurve, PlainCurve)]
    circuits = [circuit_at(curve, config.target_loss) for curve in curves]
    assert curves[0].losses == pytest.approx(curves[1].losses, rel=1e-4, abs=1e-6)
    assert len(curves[0].losses) > 5
    for site, mask in circuits[0].nodes.items():
        assert torch.equal(mask, circuits[1].nodes[site])
