"""Tuning: resumed equals uninterrupted, hopeless trials end early, and the test split is never seen."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.circuits import PruneConfig, node_means
from sparsegpt2.circuits import tune as tuning
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.circuits.tune import CENTRES, SPACE, Watch, params_of, settings_of, tune
from sparsegpt2.lock import locked_file

optuna = pytest.importorskip("optuna")
FAST = PruneConfig(steps=20, pairs=2, validation_pairs=4, dtype="float32", target_loss=0.6)


class FirstToken:
    """Does the prompt begin with token 1 or with token 2?"""

    name = "first"

    def __init__(self):
        self.splits = set()

    def batch(self, split, n, seed):
        self.splits.add(split)
        generator = torch.Generator().manual_seed(seed + len(split))
        tokens = torch.randint(3, 8, (2 * n, 4), generator=generator)
        tokens[0::2, 0], tokens[1::2, 0] = 1, 2
        answer = torch.tensor([1, 2]).repeat(n)
        return TaskBatch(tokens, torch.full((2 * n,), 3), answer, answer.view(n, 2).flip(1).flatten())


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = GPT(GPTConfig(vocab_size=8, context=4, d_model=8, d_head=4, n_layer=1, d_mlp=8, activation_density=1.0))
    made.means = node_means(made, torch.randint(8, (16, 4)))
    return made.requires_grad_(False)


@pytest.fixture
def made_up(monkeypatch):
    """Replaces pruning by a formula of the settings; remembers them, and can be told to break off."""
    seen = SimpleNamespace(params=[], stop_at=math.inf)

    def edges_with(model, task, config, trial, progress):
        if len(seen.params) == seen.stop_at:
            raise KeyboardInterrupt
        seen.params.append(dict(trial.params))
        watch = Watch(trial, config, None)
        size = 100 * (1 + abs(math.log(trial.params["lr"] / 1e-2)) + trial.params["warmup"])
        for step in range(1, 21):
            watch.see({"kept": size, "task_loss": 0.1, "k_coef": 1.0}, step, 20)
        return float(round(size))

    monkeypatch.setattr(tuning, "edges_with", edges_with)
    return seen


def test_a_resumed_search_equals_an_uninterrupted_one(tmp_path, made_up):
    whole = tune(None, FirstToken(), FAST, 12, tmp_path / "whole.journal")
    uninterrupted, made_up.params = made_up.params, []
    for made_up.stop_at in (0, 1, 2, 7, 11):
        with pytest.raises(KeyboardInterrupt):
            tune(None, FirstToken(), FAST, 12, tmp_path / "parts.journal")
    made_up.stop_at = math.inf
    parts = tune(None, FirstToken(), FAST, 12, tmp_path / "parts.journal")
    assert parts == whole and made_up.params == uninterrupted
    assert len(whole.trials) == 12 and whole.edges == min(one["edges"] for one in whole.trials if one["edges"])
    assert len({str(params) for params in uninterrupted}) == 12
    assert tune(None, FirstToken(), FAST, 12, tmp_path / "whole.journal") == whole  # nothing left to do


def test_a_killed_process_leaves_nothing_behind(tmp_path, made_up):
    whole = tune(None, FirstToken(), FAST, 8, tmp_path / "whole.journal")
    path = tmp_path / "killed.journal"
    tune(None, FirstToken(), FAST, 6, path, name="study")
    study = tuning.open_study(path, "study")
    tuning.next_trial(study, FAST, 6)  # begun, never finished
    resumed = tune(None, FirstToken(), FAST, 8, path, name="study")
    assert resumed == whole


def test_a_journal_has_one_writer(tmp_path, made_up):
    path = tmp_path / "shared.journal"
    with locked_file(tmp_path / ".shared.journal.lock", "tuning journal"), pytest.raises(UserError, match="in use by"):
        tune(None, FirstToken(), FAST, 2, path)
    assert tune(None, FirstToken(), FAST, 2, path).edges > 0


def test_a_journal_torn_anywhere_goes_on(tmp_path, made_up):
    whole = tune(None, FirstToken(), FAST, 8, tmp_path / "whole.journal", name="study")
    path = tmp_path / "torn.journal"
    tune(None, FirstToken(), FAST, 6, path, name="study")
    data = path.read_bytes()
    for end in range(len(data) // 3, len(data), len(data) // 7):
        path.write_bytes(data[:end])
        assert tune(None, FirstToken(), FAST, 8, path, name="study") == whole
        path.write_bytes(data[:end] + data)  # an older version began its entries behind the torn one
        tuning.repair_journal(path)
        assert all("op_code" in json.loads(line) for line in path.read_text().splitlines())


def test_a_journal_of_something_else_is_left_alone(tmp_path, made_up):
    path = tmp_path / "diary.journal"
    path.write_text("a day\nanother day\n")
    with pytest.raises(UserError, match="line 1 is damaged"):
        tune(None, FirstToken(), FAST, 2, path)
    assert path.read_text() == "a day\nanother day\n"


def test_the_first_trials_are_the_settings_given_and_the_papers_centres(tmp_path, made_up):
    config = replace(FAST, lr=0.02, betas=(0.9, 0.9), controller_margin=0.8)
    tune(None, FirstToken(), config, 2, tmp_path / "journal")
    assert settings_of(config, made_up.params[0]).lr == pytest.approx(0.02)
    assert made_up.params[0]["one_minus_beta2"] == pytest.approx(0.1)
    assert {name: made_up.params[1][name] for name in CENTRES} == pytest.approx(CENTRES)


def test_hopeless_trials_are_given_up(tmp_path, made_up):
    found = tune(None, FirstToken(), FAST, 20, tmp_path / "journal")
    states = [one["state"] for one in found.trials]
    assert set(states) == {"COMPLETE", "PRUNED"} and set(states[:5]) == {"COMPLETE"}
    assert all((one["edges"] is None) == (one["state"] == "PRUNED") for one in found.trials)


def test_settings_and_params_are_inverse():
    for pruner in ("node", "edge+trim"):
        config = PruneConfig(pruner=pruner, lr=2e-3, edge_lr=4e-3)
        assert settings_of(config, params_of(config)) == config
    outside = params_of(PruneConfig(k_coef=1.0))
    assert outside["k_coef"] == SPACE["k_coef"][1]


@pytest.mark.parametrize("pruner", ["node", "edge"])
def test_a_real_search_never_sees_the_test_split(tmp_path, model, pruner):
    task = FirstToken()
    config = replace(FAST, pruner=pruner, target_loss=0.71)
    found = tune(model, task, config, 2, tmp_path / "journal")
    assert task.splits == {"train", "validation"}
    assert found.config.pruner == pruner and found.edges >= 0 and len(found.trials) == 2


def test_a_pruner_without_settings_keeps_its_own(tmp_path):
    config = replace(FAST, pruner="random")
    assert tune(None, FirstToken(), config, 5, tmp_path / "journal").config == config


def test_bad_numbers_of_trials_are_said(tmp_path):
    with pytest.raises(UserError, match="at least 1 trial"):
        tune(None, FirstToken(), FAST, 0, tmp_path / "journal")
