"""Means, counts and shared tasks against slow, obvious implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sparsegpt2 import UserError
from sparsegpt2.results import (
    all_ratios,
    choose_pruner,
    choose_target,
    comparable,
    geometric_mean,
    headline_ratio,
    load_results,
    model_results,
    shared_tasks,
    size_ratio,
)

TASKS = ("a", "b", "c", "d", "e")
SEEDS = (0, 1, 2)


def product(values):
    total = 1.0
    for value in values:
        total *= max(value, 1)
    return total ** (1 / len(values))


def random_rows(row, seed):
    """Three models, five tasks and three seeds; about a fifth of the rows do not count, some are missing."""
    random = np.random.default_rng(seed)
    rows = []
    for model, density in (("dense", 1.0), ("one", 0.1), ("two", 0.1)):
        for task in TASKS:
            has = random.random() < 0.85
            for pruning_seed in SEEDS:
                reached, edges = random.random() < 0.93, int(random.integers(0, 1000))
                about = {"model": model, "fingerprint": model, "model_path": model, "density": density}
                if random.random() < 0.97:
                    rows.append(row(**about, task=task, seed=pruning_seed, edges=edges, has_task=has, reached=reached))
    return rows


def slow_counted(rows, model):
    mine = [row for row in rows if row.model == model]
    return [
        task
        for task in TASKS
        if [r for r in mine if r.task == task] and all(r.has_task and r.reached for r in mine if r.task == task)
    ]


def slow_edges(rows, model, task, seed=None):
    return product([r.edges for r in rows if r.model == model and r.task == task and (seed is None or r.seed == seed)])


@pytest.mark.parametrize("seed", range(25))
def test_counts_means_and_ratios_are_the_obvious_ones(row, seed):
    rows = random_rows(row, seed)
    models = model_results(rows, "node", 0.15)
    assert [model.name for model in models] == ["dense", "one", "two"]
    for model in models:
        counted = slow_counted(rows, model.name)
        assert model.counted == counted
        size = model.size()
        assert size.tasks == len(counted)
        if not counted:
            assert math.isnan(size.value)
            continue
        assert size.value == pytest.approx(product([slow_edges(rows, model.name, task) for task in counted]))
        complete = [s for s in SEEDS if all(has_row(rows, model.name, task, s) for task in counted)]
        by_seed = [product([slow_edges(rows, model.name, task, s) for task in counted]) for s in complete]
        assert size.seeds == len(complete)
        assert size.low == pytest.approx(min(by_seed, default=size.value))
        assert size.high == pytest.approx(max(by_seed, default=size.value))
    shared = [task for task in TASKS if all(task in slow_counted(rows, name) for name in ("dense", "one", "two"))]
    assert shared_tasks(models) == shared
    for ratio in all_ratios(models):
        check_ratio(rows, ratio)


def has_row(rows, model, task, seed):
    return any(r.model == model and r.task == task and r.seed == seed for r in rows)


def check_ratio(rows, ratio):
    dense, sparse = ratio.dense.name, ratio.sparse.name
    both = [task for task in slow_counted(rows, dense) if task in slow_counted(rows, sparse)]
    assert (dense, ratio.spread.tasks) == ("dense", len(both))
    if both:
        large = product([slow_edges(rows, dense, task) for task in both])
        small = product([slow_edges(rows, sparse, task) for task in both])
        assert ratio.spread.value == pytest.approx(large / small)


def test_an_empty_circuit_enters_a_mean_as_one_edge():
    assert geometric_mean([0, 100]) == pytest.approx(10)
    assert geometric_mean([0]) == 1
    assert math.isnan(geometric_mean([]))


def test_a_ratio_may_be_under_one(row):
    dense = row(model="dense", fingerprint="d", density=1.0, edges=10)
    sparse = row(edges=40)
    models = model_results([dense, sparse], "node", 0.15)
    assert size_ratio(*models).spread.value == pytest.approx(0.25)


def test_a_task_counts_only_when_every_seed_reached_the_target(row):
    (model,) = model_results([row(), row(seed=1, reached=False)], "node", 0.15)
    assert model.counted == []
    assert model.had == ["for_while"]


def test_tasks_whose_circuits_miss_the_target_on_test_pairs_are_named_and_still_count(row):
    rows = [row(), row(task="with_as"), row(task="with_as", seed=1, loss=0.28), row(task="var_if", loss=0.3)]
    rows += [row(task="var_if", seed=1, loss=0.3, reached=False)]
    (model,) = model_results(rows, "node", 0.15)
    assert model.counted == ["for_while", "with_as"]
    assert model.missed_on_test == ["with_as"]
    assert model.size().tasks == 2


def test_the_headline_is_the_largest_ratio_at_equal_or_better_loss(row):
    def of(name, density, loss, edges, task="a"):
        return row(
            model=name, fingerprint=name, model_path=name, density=density, held_out_loss=loss, edges=edges, task=task
        )

    dense, worse = of("dense", 1.0, 2.2, 1000), of("worse", 0.1, 2.3, 1)
    equal, better = of("equal", 0.1, 2.2, 50), of("better", 0.1, 2.1, 100)
    stranger = of("stranger", 0.1, 2.0, 1, task="b")  # shares no task
    models = model_results([dense, worse, equal, better, stranger], "node", 0.15)
    best = headline_ratio(models)
    assert (best.sparse.name, best.spread.value, best.spread.tasks) == ("equal", pytest.approx(20), 1)
    assert headline_ratio(models, tolerance=0.2).sparse.name == "worse"
    assert headline_ratio(model_results([dense, worse], "node", 0.15)) is None


def test_models_with_fewest_tasks_are_left_out_until_enough_are_shared(row):
    def of(name, tasks):
        return [row(model=name, fingerprint=name, model_path=name, task=task) for task in tasks]

    models = model_results(of("few", "a") + of("most", "abcd") + of("many", "abc"), "node", 0.15)
    assert [[m.name for m in part] for part in comparable(models, 1)] == [["few", "most", "many"], []]
    assert [[m.name for m in part] for part in comparable(models, 2)] == [["most", "many"], ["few"]]
    assert [[m.name for m in part] for part in comparable(models, 4)] == [["most"], ["few", "many"]]
    assert comparable(models, 5)[0] == []


def test_two_models_of_one_name_are_told_apart(row):
    rows = [row(), row(fingerprint="1234567890", model_path="elsewhere/sparse")]
    assert [model.name for model in model_results(rows, "node", 0.15)] == ["sparse (ffffff)", "sparse (123456)"]


def test_choices_that_are_not_there_are_errors_that_say_what_is(row):
    rows = [row(pruner="attribution", target_loss=0.3), row(pruner="random", target_loss=0.01)]
    assert choose_pruner(rows) == "attribution"
    assert choose_pruner([*rows, row()]) == "node"
    assert choose_target(rows) == 0.3
    with pytest.raises(UserError, match=r"no results of the pruner 'node', only of attribution, random"):
        choose_pruner(rows, "node")
    with pytest.raises(UserError, match=r"target loss 0\.15, only for 0\.01, 0\.3"):
        choose_target(rows, 0.15)


def test_several_folders_are_joined_and_the_later_one_wins(tmp_path, row, written):
    first = written(tmp_path / "a", [row(edges=1), row(task="with_as")])
    second = written(tmp_path / "b", [row(edges=2)])
    rows = load_results([first, second])
    assert sorted((r.task, r.edges) for r in rows) == [("for_while", 2), ("with_as", 100)]
    with pytest.raises(UserError, match="at least one results folder"):
        load_results([])
