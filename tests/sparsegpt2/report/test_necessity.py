"""Losses without circuits and without random sets, from rows that carry evidence."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest

from sparsegpt2.evidence.estimate import Estimate
from sparsegpt2.evidence.report import Finding, Report
from sparsegpt2.report.frontier import write_frontier
from sparsegpt2.report.necessity import draw_necessity, necessities, necessity_table
from sparsegpt2.results import model_results


def evidence(full: float, without: float, random: float, kind: str = "nodes", verdict="holds"):
    """What a row holds of the check, written by the report itself."""
    names = {"without circuit": without, "without random set": random}
    if kind == "edges":
        names = dict.fromkeys(names, 9.0) | {"without edges": without, "without random edges": random}
    numbers = {name: Estimate(value, 0.01, 8, "pairs") for name, value in {"full": full, **names}.items()}
    details = {"bar": math.log(2), "decided by": kind}
    finding = Finding(verdict=verdict, says="", numbers=numbers, details=details)
    return Report(identity="i", about={}, findings={"necessity": finding}).to_dict()


@pytest.fixture
def rows(row):
    return [
        row(seed=0, evidence=evidence(0.02, 2.0, 0.1)),
        row(seed=1, evidence=evidence(0.02, 4.0, 0.3)),
        row(task="else_elif", seed=0, evidence=evidence(0.05, 1.0, 0.5, "edges")),
        row(task="var_if", seed=0),
        row(task="if_equals", seed=0, evidence=evidence(0.05, 1.0, 0.5, verdict="not run")),
        row(model="dense", model_path="runs/d", fingerprint="d", density=1.0, evidence=evidence(0.01, 0.9, 0.8)),
    ]


def test_numbers_are_means_over_seeds_with_their_range(rows):
    found = necessities(model_results(rows, "node", 0.15))
    assert [(one.model, one.task, one.seeds) for one in found] == [
        ("sparse", "else_elif", 1),
        ("sparse", "for_while", 2),
        ("dense", "for_while", 1),
    ]
    loop = found[1]
    assert (loop.without.value, loop.without.low, loop.without.high) == (3.0, 2.0, 4.0)
    assert loop.without_random.value == pytest.approx(0.2) and loop.full.value == 0.02
    assert found[0].kind == "edges" and found[0].without.value == 1.0 and found[0].without_random.value == 0.5
    line = necessity_table(found)[1]
    assert line["without_circuit_high"] == 4.0 and line["pruning_seeds"] == 2 and line["taken_out"] == "nodes"


def test_the_figure_has_a_panel_a_model_and_a_line_a_task(rows):
    found = necessities(model_results(rows, "node", 0.15))
    figure = draw_necessity(found, target=0.15, pruner="node")
    sparse, dense = figure.axes
    assert (sparse.get_title(), dense.get_title()) == ("sparse", "dense")
    assert [text.get_text() for text in sparse.get_yticklabels()] == ["for_while", "else_elif"]
    filled = [line for line in sparse.get_lines() if line.get_marker() == "o" and len(line.get_xdata())]
    assert sorted((float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in filled) == [(1.0, 1), (3.0, 0)]
    assert "range over pruning seeds" in figure.get_supxlabel().replace("\n", " ")


def test_frontier_writes_it_where_rows_carry_evidence(rows, fakes, written, tmp_path):
    paths = write_frontier([written(tmp_path / "r", rows)], tmp_path / "f.png")
    assert {tmp_path / f"f-necessity.{end}" for end in ("png", "svg", "csv")} <= set(paths)
    lines = list(csv.DictReader((tmp_path / "f-necessity.csv").open()))
    assert [line["task"] for line in lines] == ["else_elif", "for_while", "for_while"]
    without = [replace(one, evidence=None) for one in rows]
    assert not any(
        "necessity" in path.name for path in write_frontier([written(tmp_path / "s", without)], tmp_path / "g")
    )
