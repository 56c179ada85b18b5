from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import sparsegpt2.circuits.pruners as pruners
from sparsegpt2 import UserError
from sparsegpt2.circuits import Circuit, PruneConfig, evaluate, rank_nodes
from sparsegpt2.circuits.gate_training import Penalty, initial_tau, schedule
from sparsegpt2.circuits.gates import join_nodes
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.circuits.pruners.node import rank_together
from sparsegpt2.model.sites import Record

SHORT = PruneConfig(steps=12, pairs=8, attribution_pairs=8, dtype="float32")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_node_pruner_recovers_the_planted_circuit(planted: Any, seed: int) -> None:
    ranking = rank_nodes(planted.model, planted.task, PruneConfig(target_loss=0.02, seed=seed))
    assert ranking.trained_size == 7
    nodes = ranking.nodes(7)
    assert all(torch.equal(nodes[site], planted.nodes[site]) for site in nodes)
    circuit = Circuit(nodes)
    assert circuit.edges(planted.model) == circuit.trimmed(planted.model).edges(planted.model) == planted.edges
    assert evaluate(planted.model, planted.task, circuit).loss < 0.02


def test_attribution_ranks_the_planted_nodes_first(planted: Any) -> None:
    ranking = rank_nodes(planted.model, planted.task, PruneConfig(pruner="attribution"))
    nodes = ranking.nodes(7)
    assert all(torch.equal(nodes[site], planted.nodes[site]) for site in nodes)


def test_attribution_equals_its_formula(planted: Any) -> None:
    model, means = planted.model, planted.model.means
    ranking = rank_nodes(model, planted.task, PruneConfig(pruner="attribution", attribution_pairs=3, seed=4))
    batch = planted.task.batch("train", 3, 4)
    record = Record()
    model(batch.tokens, site=record)
    for site in ("0.attn.v", "0.mlp.post_act", "0.mlp.resid_delta"):
        expected = torch.zeros(len(means[site]))
        for row in range(6):
            x = record.values[site].clone().requires_grad_(True)

            def replaced(name: str, value: torch.Tensor, site: str = site, x: torch.Tensor = x) -> torch.Tensor:
                return x[:, : value.shape[1]] if name == site else value

            loss = task_loss(answer_logits(model, batch, replaced), batch)[row]
            (gradient,) = torch.autograd.grad(loss, x)
            expected += (gradient * (x - means[site])).sum(dim=(0, 1)).abs().detach() / 6
        torch.testing.assert_close(ranking.scores[site], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("pruner", pruners.pruner_names())
def test_every_pruner_is_deterministic_and_leaves_the_model_as_it_was(
    random_model: Any, planted: Any, pruner: str
) -> None:
    random_model.requires_grad_(True)
    before = {name: parameter.clone() for name, parameter in random_model.named_parameters()}
    config = PruneConfig(pruner=pruner, steps=3, pairs=4, attribution_pairs=4, dtype="bfloat16")
    one, two = (rank_nodes(random_model, planted.task, config) for _ in range(2))
    assert all(torch.equal(one.scores[site], two.scores[site]) for site in one.scores)
    assert one.history == two.history
    for name, parameter in random_model.named_parameters():
        assert torch.equal(parameter, before[name]) and parameter.requires_grad and parameter.grad is None
    assert random_model.compute_dtype == torch.float32
    assert {split for split, *_ in planted.task.asked} <= {"train"}


@pytest.mark.parametrize("pruner", ["node", "random", "attribution"])
def test_another_seed_gives_another_ranking(random_model: Any, planted: Any, pruner: str) -> None:
    one, two = (
        rank_nodes(random_model, planted.task, PruneConfig(pruner=pruner, seed=seed, steps=3, attribution_pairs=4))
        for seed in (0, 1)
    )
    assert any(not torch.equal(one.scores[site], two.scores[site]) for site in one.scores)


def test_every_step_sees_fresh_training_pairs(planted: Any) -> None:
    planted.task.asked.clear()
    rank_nodes(planted.model, planted.task, SHORT)
    assert len(set(planted.task.asked)) == len(planted.task.asked) == SHORT.steps
    assert all(split == "train" and pairs == 8 for split, pairs, _ in planted.task.asked)


def test_the_first_step_follows_the_gradient_of_loss_and_penalty(planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """tau's gradient is (d task loss / d m + k_coef) * sigmoid'(tau / T) / T, by finite differences in m."""
    gradients = []
    real_step = torch.optim.AdamW.step

    def step(self: torch.optim.AdamW, *arguments: Any, **keywords: Any) -> Any:
        gradients.append(self.param_groups[0]["params"][0].grad.clone())
        return real_step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    config = PruneConfig(steps=1, pairs=4, dtype="float32", temperature=0.7, k_coef=0.003, penalty="fixed", clip=1e9)
    ranking = rank_nodes(planted.model, planted.task, config)
    batch, means = planted.task.batch("train", 4, 0), planted.model.means
    sigmoid = torch.sigmoid(initial_tau(ranking.n_nodes, config) / 0.7)
    slope, offset = sigmoid * (1 - sigmoid) / 0.7, 0
    for site, width in ranking.sites.items():
        for channel in {0, 1, width - 1}:
            losses = []
            for m in (1 - 1e-2, 1 + 1e-2):

                def shifted(name: str, x: Any, site: str = site, channel: int = channel, m: float = m) -> Any:
                    if name == site:
                        x = x.clone()
                        x[..., channel] = m * x[..., channel] + (1 - m) * means[site][channel]
                    return x

                losses.append(float(task_loss(answer_logits(planted.model, batch, shifted), batch).double().mean()))
            expected = ((losses[1] - losses[0]) / 2e-2 + 0.003) * float(slope[offset + channel])
            assert float(gradients[0][offset + channel]) == pytest.approx(expected, rel=2e-2, abs=2e-6)
        offset += width


def test_initial_gates() -> None:
    tau = initial_tau(20_000, PruneConfig(init_noise_bias=0.3, init_noise_scale=0.1))
    assert float(tau.mean()) == pytest.approx(0.3, abs=0.01) and float(tau.std()) == pytest.approx(0.1, abs=0.01)
    wide = initial_tau(1000, PruneConfig(init_noise_bias=0.9, init_noise_scale=3.0))
    assert float(wide.min()) == -1 and float(wide.max()) == 1


def test_tau_stays_within_its_bounds(planted: Any) -> None:
    ranking = rank_nodes(planted.model, planted.task, PruneConfig(steps=20, pairs=4, lr=0.9, warmup=0.0))
    tau = join_nodes(ranking.scores, ranking.sites)
    assert float(tau.min()) == -1 and float(tau.max()) == pytest.approx(0.06)  # init_noise_bias + headroom
    assert ranking.trained_size == int((tau >= 0).sum())


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    assert [schedule(x, 0.2) for x in (0.0, 0.1, 0.2, 0.6, 1.0)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert [schedule(x, 0.0) for x in (0.0, 0.25, 1.0)] == pytest.approx([1, 0.75, 0])


def nats(loss: float) -> torch.Tensor:
    return torch.tensor(loss, dtype=torch.float64)


def test_the_controller_raises_the_penalty_under_the_target_and_lowers_it_over() -> None:
    settings = {"controller_margin": 0.5, "controller_rate": 0.1, "controller_gain": 2.0, "controller_memory": 0.0}
    penalty = Penalty(PruneConfig(target_loss=0.2, k_coef=1e-4, **settings))
    penalty.update(
        torch.tensor(0.001, dtype=torch.float64)
    )  # far under the aim of 0.1: the largest lasting and immediate steps up
    assert float(penalty.k_coef) == pytest.approx(1e-4 * math.exp(0.1 + 2))
    penalty.update(nats(0.1))  # at the aim only the lasting part stays
    assert float(penalty.k_coef) == pytest.approx(1e-4 * math.exp(0.1))
    penalty.update(nats(5.0))
    penalty.update(nats(5.0))
    assert float(penalty.k_coef) == pytest.approx(1e-4 * math.exp(-0.1 - 2))
    penalty.update(nats(0.1 * math.exp(-0.5)))
    assert float(penalty.k_coef) == pytest.approx(1e-4 * math.exp(-0.1 + 0.05 + 1))
    fixed = Penalty(PruneConfig(penalty="fixed", k_coef=0.003))
    fixed.update(torch.tensor(0.001))
    assert float(fixed.k_coef) == 0.003


def test_the_controller_follows_a_running_loss() -> None:
    penalty = Penalty(PruneConfig(controller_memory=0.75))
    for loss in (0.4, 0.8):
        penalty.update(nats(loss))
    assert float(penalty.running) == pytest.approx(0.5)


def test_a_larger_fixed_penalty_keeps_fewer_nodes(planted: Any) -> None:
    kept = [
        rank_nodes(planted.model, planted.task, PruneConfig(penalty="fixed", k_coef=k_coef, steps=60)).trained_size
        for k_coef in (1e-4, 0.3)
    ]
    assert kept[0] == 7 and kept[1] is not None and kept[1] < 7


def test_runs_together_end_as_they_do_alone(planted: Any) -> None:
    configs = [
        PruneConfig(steps=20, pairs=4, dtype="float32"),
        PruneConfig(steps=12, pairs=8, dtype="float32", seed=1, lr=0.02, k_coef=3e-3),
        PruneConfig(steps=20, pairs=4, dtype="float32", penalty="fixed", drop_below=-1, temperature=0.5),
    ]
    tasks = [planted.task, planted.task, replace(planted.task, with_alternative=False)]
    together = rank_together(planted.model, tasks, configs)
    for ranking, task, config in zip(together, tasks, configs, strict=True):
        alone = rank_nodes(planted.model, task, config)
        assert len(ranking.history) == config.steps
        assert [entry["kept"] for entry in ranking.history] == [entry["kept"] for entry in alone.history]
        for site, scores in alone.scores.items():
            torch.testing.assert_close(ranking.scores[site], scores, rtol=1e-3, atol=1e-4)


def test_training_ends_early_once_the_gates_have_settled(planted: Any) -> None:
    config = PruneConfig(steps=150, pairs=8, dtype="float32", settle_steps=8)
    kept = [entry["kept"] for entry in rank_nodes(planted.model, planted.task, config).history]
    assert len(kept) < 150 and len(set(kept[-8:])) == 1
    assert len(set(kept)) > 1
    never = rank_nodes(planted.model, planted.task, replace(config, settle_steps=0))
    assert len(never.history) == 150
    assert [entry["kept"] for entry in never.history][: len(kept)] == kept


def test_runs_together_need_one_precision(planted: Any) -> None:
    with pytest.raises(UserError, match="must have one dtype, got bfloat16 and float32"):
        rank_together(planted.model, [planted.task] * 2, [SHORT, replace(SHORT, dtype="bfloat16")])


def test_nodes_given_up_change_nothing_else(planted: Any) -> None:
    whole, dropping = (
        rank_nodes(planted.model, planted.task, PruneConfig(steps=60, pairs=8, dtype="float32", drop_below=below))
        for below in (-1.0, -0.05)
    )
    assert whole.trained_size == dropping.trained_size
    assert [entry["kept"] for entry in whole.history] == [entry["kept"] for entry in dropping.history]
    kept = whole.trained_size or 0
    assert all(torch.equal(whole.nodes(kept)[site], mask) for site, mask in dropping.nodes(kept).items())


def test_an_unknown_pruner_is_told_what_there_is(planted: Any) -> None:
    with pytest.raises(UserError, match="no pruner 'magic'; there are attribution, edge, node, random, stochastic"):
        rank_nodes(planted.model, planted.task, PruneConfig(pruner="magic"))


def test_a_pruner_is_one_file(planted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(pruners.__path__[0], "random.py").read_text().replace("torch.rand(", "-torch.arange(1.0, 1 + ")
    (tmp_path / "first.py").write_text(source.replace(", generator=generator", ""))
    monkeypatch.setattr(pruners, "__path__", [*pruners.__path__, str(tmp_path)])
    ranking = rank_nodes(planted.model, planted.task, PruneConfig(pruner="first"))
    assert ranking.nodes(3)["0.attn.act_in"].tolist() == [True] * 3 + [False] * 5


@pytest.mark.parametrize("pruner", ["node", "attribution", "random"])
def test_nan_weights_or_means_cannot_be_pruned(planted: Any, pruner: str) -> None:
    config = PruneConfig(pruner=pruner, steps=2, pairs=2, attribution_pairs=2)
    planted.model.means["0.attn.q"][0] = math.nan
    with pytest.raises(UserError, match=r"node means of the model at 0\.attn\.q are not finite"):
        rank_nodes(planted.model, planted.task, config)
    planted.model.means["0.attn.q"][0] = 0.0
    planted.model.blocks[0].mlp.c_fc.weight[0, 0] = math.nan
    with pytest.raises(UserError, match=r"blocks\.0\.mlp\.c_fc\.weight contains NaN"):
        rank_nodes(planted.model, planted.task, config)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"target_loss": 0.0}, "target_loss must be above 0"),
        ({"lr": math.nan}, "lr needs a finite number"),
        ({"penalty": "none"}, "penalty needs controller or fixed, not 'none'"),
        ({"search": "guess"}, "search needs scan or bisect"),
        ({"dtype": "int8"}, "dtype needs bfloat16 or float32"),
        ({"warmup": 1.0}, "warmup must be at least 0 and below 1"),
        ({"betas": (0.9,)}, "betas needs a list of 2 numbers"),
        ({"grid_ratio": 1.01}, "1 < grid_precision <= grid_ratio"),
        ({"init_noise_bias": 2.0}, r"init_noise_bias must be in \[-1, 1\]"),
        ({"controller_margin": 0.0}, "controller_margin must be in"),
        ({"weight_decay": -1.0}, "weight_decay must be 0 or more"),
    ],
)
def test_impossible_settings_are_said(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        PruneConfig(**settings)
