from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, LossCurve, PruneConfig, circuit_at, evaluate, find_circuit, rank_nodes


def test_a_circuit_is_found_told_and_kept_in_a_file(planted: Any, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    config = PruneConfig(target_loss=0.02, steps=120)
    circuit = find_circuit(planted.model, planted.task, config, progress=lambda *step: told.append(step))
    info = circuit.info
    assert circuit.n_nodes == info.k == 7 and info.reached and info.trained_k == 7
    assert all(torch.equal(circuit.nodes[site], planted.nodes[site]) for site in circuit.nodes)
    assert info.validation_loss <= 0.02 and info.validation_loss_full == pytest.approx(info.validation_loss)
    assert (info.task, info.pruner, info.seed, info.target_loss) == ("planted", "node", 0, 0.02)
    assert [7, 6, info.validation_loss] in info.curve and info.curve[-1][0] == 68
    assert info.seconds > 0 and info.config["steps"] == 120 and info.calibrated is False
    training = [step for step in told if step[2].startswith("pruning")]
    assert [done for done, *_ in training] == list(range(1, len(training) + 1)) and len(training) <= 120
    assert all(total == 120 and what.endswith("nodes") for _, total, what in training) and len(told) > len(training) > 9
    assert {split for split, *_ in planted.task.asked} == {"train", "validation"}
    circuit.save(tmp_path / "circuit.json")
    loaded = Circuit.load(tmp_path / "circuit.json")
    assert loaded.info.to_dict() == json.loads(json.dumps(info.to_dict()))
    assert evaluate(planted.model, planted.task, loaded) == evaluate(planted.model, planted.task, circuit)


def test_one_ranking_serves_several_targets(planted: Any) -> None:
    config = PruneConfig(pruner="attribution")
    ranking = rank_nodes(planted.model, planted.task, config)
    curve = LossCurve(planted.model, planted.task, ranking, config)
    sizes = [circuit_at(curve, target).n_nodes for target in (0.5, 0.15, 0.01, 0.5)]
    assert sizes[0] == sizes[3] <= sizes[1] < sizes[2]
    alone = circuit_at(LossCurve(planted.model, planted.task, ranking, config), 0.01)
    assert alone.n_nodes == sizes[2] and alone.info.target_loss == 0.01


@pytest.mark.parametrize("search", ["scan", "bisect"])
def test_a_target_out_of_reach_keeps_the_whole_model_and_says_so(planted: Any, search: str) -> None:
    circuit = find_circuit(planted.model, planted.task, PruneConfig(pruner="random", target_loss=1e-9, search=search))
    assert not circuit.info.reached
    assert circuit.n_nodes == circuit.info.k == 68
    assert circuit.info.validation_loss == circuit.info.validation_loss_full > 1e-9


def test_both_searches_find_the_planted_circuit(planted: Any) -> None:
    for search in ("scan", "bisect"):
        circuit = find_circuit(
            planted.model, planted.task, PruneConfig(pruner="attribution", target_loss=0.01, search=search)
        )
        assert (circuit.n_nodes, circuit.edges(planted.model)) == (7, 6)
        assert circuit.info.search == search


def test_the_same_settings_give_the_same_circuit(planted: Any) -> None:
    config = PruneConfig(steps=25, pairs=8, seed=3)
    one, two = (find_circuit(planted.model, planted.task, config) for _ in range(2))
    assert all(torch.equal(one.nodes[site], two.nodes[site]) for site in one.nodes)
    assert replace(one.info, seconds=0) == replace(two.info, seconds=0)


def test_a_task_against_anything_else(planted: Any) -> None:
    planted.task.with_alternative = False
    circuit = find_circuit(planted.model, planted.task, PruneConfig(pruner="attribution", target_loss=0.6))
    score = evaluate(planted.model, planted.task, circuit)
    assert circuit.info.reached and score.loss <= 0.62
    assert circuit.nodes["0.attn.v"][0] and circuit.nodes["0.mlp.resid_delta"][2]


def test_a_model_without_means_is_told_how_to_get_them(planted: Any) -> None:
    planted.model.means = None
    with pytest.raises(UserError, match="node_means"):
        find_circuit(planted.model, planted.task)
