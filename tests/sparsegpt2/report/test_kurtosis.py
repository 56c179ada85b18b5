"""Kurtosis against L0 and width, from rows alone."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from sparsegpt2.report.frontier import FrontierConfig, write_frontier
from sparsegpt2.report.kurtosis import draw_kurtosis, kurtosis_table, streams


@pytest.fixture
def rows(fakes):
    models = [("dense", 64, 400_000, 1.0, 3.4), ("wide", 512, 60_000, 0.01, 21.5), ("thin", 128, 60_000, 0.1, 9.0)]
    return [
        replace(row, kurtosis=kurtosis)
        for model, width, l0, density, kurtosis in models
        for row in fakes(model, d_model=width, l0=l0, density=density, loss=2.2, edges=100, seeds=2)
    ]


def test_every_model_is_there_once_by_width(rows):
    found = streams(rows)
    assert [(s.model, s.dense, s.kurtosis) for s in found] == [
        ("dense", True, 3.4),
        ("thin", False, 9.0),
        ("wide", False, 21.5),
    ]
    assert kurtosis_table(found)[2] == {"model": "wide", "dense": False, "d_model": 512, "l0": 60_000, "kurtosis": 21.5}
    assert [s.model for s in streams(rows, ["thin"])] == ["thin"]
    assert streams([replace(row, kurtosis=None) for row in rows]) == []


def test_the_figure_holds_each_model_at_its_place(rows):
    axis = draw_kurtosis(streams(rows)).axes[0]
    marks = [line.get_xydata() for line in axis.get_lines() if line.get_marker() != "None" and len(line.get_xdata())]
    assert sorted((float(x), float(y)) for ((x, y),) in marks) == [(60_000, 9.0), (60_000, 21.5), (400_000, 3.4)]
    assert {"width 64", "width 128", "width 512"} <= set(axis.get_legend_handles_labels()[1])
    assert {text.get_text() for text in axis.texts} == {"dense", "thin", "wide"}


def test_one_model_alone_can_be_drawn(rows):
    axis = draw_kurtosis(streams(rows, ["wide"])).axes[0]
    assert [text.get_text() for text in axis.texts] == ["wide"]
    low, high = axis.get_xlim()
    assert all(low <= x <= high for line in axis.get_lines() for x in line.get_xdata())  # where labels look for room


def test_frontier_writes_it_where_rows_say_it(rows, written, tmp_path):
    paths = write_frontier(
        [written(tmp_path / "r", rows)], tmp_path / "f.png", FrontierConfig(models=("dense", "wide"))
    )
    assert {tmp_path / f"f-kurtosis.{end}" for end in ("png", "svg", "csv")} <= set(paths)
    assert [line["model"] for line in csv.DictReader((tmp_path / "f-kurtosis.csv").open())] == ["dense", "wide"]
    without = [replace(row, kurtosis=None) for row in rows]
    assert not any(
        "kurtosis" in path.name for path in write_frontier([written(tmp_path / "s", without)], tmp_path / "g")
    )
