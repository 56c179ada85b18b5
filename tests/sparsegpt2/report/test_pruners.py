"""Pruners compared over the tasks they share, from rows alone."""

from __future__ import annotations

import csv

import pytest

from sparsegpt2.report.frontier import write_frontier
from sparsegpt2.report.pruners import comparisons, draw_pruners, pruner_table


@pytest.fixture
def rows(row):
    return [
        row(pruner="node", seed=0, edges=50),
        row(pruner="node", seed=1, edges=200),
        row(pruner="random", seed=0, edges=4000),
        row(pruner="node", task="var_if", edges=7),  # random never reached the target there
        row(pruner="random", task="var_if", edges=9, reached=False),
        row(model="alone", model_path="a", fingerprint="a", edges=3),
    ]


def test_only_tasks_of_all_pruners_count(rows):
    (found,) = comparisons(rows, 0.15, "edges")
    assert found.model == "sparse" and found.tasks == ["for_while"]
    node = found.sizes["node"]
    assert (node.value, node.low, node.high) == pytest.approx((100, 50, 200)) and node.seeds == 2
    assert [line["pruner"] for line in pruner_table([found])] == ["node", "random"]
    assert comparisons(rows, 0.15, "edges", ["alone"]) == [] and comparisons(rows, 0.5, "edges") == []


def test_the_figure_has_the_smallest_on_top(rows):
    axis = draw_pruners(comparisons(rows, 0.15, "edges"), target=0.15, size_label="edges").axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["random", "node"]
    marks = [line.get_xydata() for line in axis.get_lines() if line.get_marker() != "None" and len(line.get_xdata())]
    assert sorted((round(float(x)), int(y)) for ((x, y),) in marks) == [(100, 1), (4000, 0)]


def test_frontier_writes_it_where_several_pruners_ran(rows, written, tmp_path):
    paths = write_frontier([written(tmp_path / "r", rows)], tmp_path / "f.png")
    assert {tmp_path / f"f-pruners.{end}" for end in ("png", "svg", "csv")} <= set(paths)
    assert [line["size"] for line in csv.DictReader((tmp_path / "f-pruners.csv").open())] == ["100.0", "4000.0"]
