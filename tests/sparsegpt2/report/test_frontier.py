"""The figures and their tables: right numbers, valid files, and no crash from one model to thirty."""

from __future__ import annotations

import csv
import io
import math
from xml.etree import ElementTree

import numpy as np
import pytest

from sparsegpt2 import UserError
from sparsegpt2.report.frontier import FrontierConfig, analyse, l0_lines, pareto_set, write_frontier
from sparsegpt2.report.size_curves import edges_at
from sparsegpt2.report.style import plain_number


@pytest.fixture
def family(fakes):
    """A dense model and four sparse ones of two widths and two L0; the narrow ones lack two tasks."""
    rows = fakes("dense", d_model=128, l0=655_000, density=1.0, loss=2.24, edges=6000)
    for width in (128, 256):
        for l0, loss in ((210_000, 2.25), (100_000, 2.3)):
            name, tasks = f"w{width}-{l0 // 1000}k", 5 if width == 128 else 7
            better = 0.04 if width == 256 else 0
            rows += fakes(
                name, d_model=width, l0=l0, density=0.1, loss=loss - better, edges=l0 / 300, tasks=tasks, seeds=2
            )
    return rows


def table(path):
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_the_tables_hold_the_right_numbers(tmp_path, family, written):
    results = written(tmp_path / "results", family)
    paths = write_frontier([results], tmp_path / "figures" / "frontier.png")
    assert [path.name for path in paths] == [
        "frontier.png",
        "frontier.svg",
        "frontier.csv",
        "frontier-tasks.csv",
        "frontier-sizes.png",
        "frontier-sizes.svg",
        "frontier-sizes.csv",
    ]
    shared = ("single_double_quote", "with_open", "bracket_counting", "for_while", "else_elif")
    for line in table(paths[2]):
        mine = [r for r in family if r.model == line["model"] and r.target_loss == 0.15 and r.status == "pruned"]
        logs = [np.mean([math.log(r.edges) for r in mine if r.task == task]) for task in shared]
        assert float(line["edges_shared"]) == pytest.approx(math.exp(np.mean(logs)), abs=0.006)
        assert line["tasks_shared"] == "5"
        assert line["tasks_had"] == line["tasks_counted"] == ("5" if line["model"].startswith("w128") else "7")
        assert line["tasks_benchmarked"] == "7"
        assert line["dense"] == str(line["model"] == "dense")
    tasks = table(paths[3])
    assert len(tasks) == 5 * 7
    quote = next(line for line in tasks if line["model"] == "dense" and line["task"] == "single_double_quote")
    expected = next(
        r for r in family if r.model == "dense" and r.task == "single_double_quote" and r.target_loss == 0.15
    )
    assert (float(quote["edges"]), float(quote["loss"])) == (expected.edges, expected.loss)
    assert {line["status"] for line in tasks if line["shared"] == "False"} == {"pruned", "lacks the task"}


def test_figures_are_valid_and_hold_their_labels(tmp_path, family, written):
    from PIL import Image

    written(tmp_path / "r", family)
    write_frontier([tmp_path / "r"], tmp_path / "f")
    texts = {}
    for name in ("f", "f-sizes"):
        with Image.open(tmp_path / f"{name}.png") as image:
            image.load()
            assert image.size[0] > 1000
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        texts[name] = " ".join("".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text"))
    for label in ("Held-out loss (nats per token)", "geometric mean over 5 shared tasks", "width 256", "L0 210k"):
        assert label in texts["f"]
    for label in ("Pareto set", "dense (hollow)", "range over pruning seeds", "dense 7/7", "w128-100k 5/7"):
        assert label in " ".join(texts["f"].split())
    for label in ("Task loss (nats)", "Circuit size (edges", "5 tasks", "L0 655k, 2.240 nats/token"):
        assert label in texts["f-sizes"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_same_results_give_the_same_files(tmp_path, family, written):
    written(tmp_path / "r", family)
    first = [path.read_bytes() for path in write_frontier([tmp_path / "r"], tmp_path / "f.png")]
    assert [path.read_bytes() for path in write_frontier([tmp_path / "r"], tmp_path / "f.svg")] == first


def test_one_model_with_one_task_is_drawn(tmp_path, row, written):
    written(tmp_path / "r", [row(curve=[])])
    paths = write_frontier([tmp_path / "r"], tmp_path / "f")
    assert all(path.stat().st_size for path in paths)
    (line,) = table(paths[2])
    assert (line["edges_shared"], line["pareto"]) == ("100.0", "True")


def test_an_empty_circuit_is_drawn_at_one_edge(tmp_path, row, written):
    written(tmp_path / "r", [row(edges=0, curve=[[0, 0, 0.1]])])
    (line,) = table(write_frontier([tmp_path / "r"], tmp_path / "f")[2])
    assert line["edges_shared"] == "1.0"


def test_thirty_models_are_drawn(tmp_path, fakes, written):
    rows = []
    for width in (64, 96, 128, 256, 512, 1024):
        for index, l0 in enumerate((10_000, 20_000, 40_000, 80_000, 160_000)):
            loss = 2.5 - index * 0.02
            rows += fakes(
                f"{width}/{l0}", d_model=width, l0=l0, density=0.1, loss=loss, edges=l0 / width, targets=(0.15,)
            )
    written(tmp_path / "r", rows)
    assert len(table(write_frontier([tmp_path / "r"], tmp_path / "f")[2])) == 30


def test_models_that_cannot_be_compared_are_named(fakes):
    rows = fakes("a", d_model=64, l0=100, density=0.1, loss=2.0, edges=50)
    rows += fakes("none", d_model=64, l0=100, density=0.1, loss=2.0, edges=50, tasks=0)
    rows += fakes("few", d_model=64, l0=100, density=0.1, loss=2.0, edges=50, tasks=2)
    rows += fakes("unknown", d_model=64, l0=100, density=0.1, loss=None, edges=50)
    found = analyse(rows, FrontierConfig(min_shared=3))
    assert [point.name for point in found.points] == ["a"]
    assert found.left_out == [("unknown", "no held-out loss"), ("none", "no tasks"), ("few", "only 2 tasks")]


def test_pareto_set_is_that_of_a_slow_search():
    random = np.random.default_rng(0)
    values = [(float(a), float(b)) for a, b in random.integers(0, 6, (40, 2))]
    expected = []
    for x, y in values:
        beaten = False
        for a, b in values:
            if (a <= x and b < y) or (a < x and b <= y):
                beaten = True
        expected.append(not beaten)
    assert pareto_set(values) == expected
    assert any(expected)


def test_edges_at_a_loss_are_the_smallest_that_meet_it():
    curve = [[0, 0, 0.7], [2, 10, 0.3], [4, 100, 0.5], [8, 1000, 0.03]]
    assert edges_at(curve, 0.7) == 1
    assert edges_at(curve, 0.3) == pytest.approx(10)
    halfway = math.sqrt(0.3 * 0.03)  # on a log scale, between the sizes 10 and 1000 (100 met nothing more)
    assert edges_at(curve, halfway) == pytest.approx(100)
    assert edges_at(curve, 0.01) is None


def test_lines_join_models_of_one_l0_and_several_widths(family):
    found = analyse(family)
    lines = {label: [point.name for point in group] for label, group in l0_lines(found.points, 0.1)}
    assert lines == {"L0 100k": ["w128-100k", "w256-100k"], "L0 210k": ["w128-210k", "w256-210k"]}


def test_models_of_matched_loss_stand_around_a_dense_one(family):
    found = analyse(family, FrontierConfig(match_within=0.035))
    assert found.matched_with == "dense"
    assert [curve.name for curve in found.curves] == ["dense", "w128-210k", "w256-210k", "w256-100k"]
    alone = analyse(family, FrontierConfig(match_within=0.001))
    assert (alone.matched_with, len(alone.curves)) == (None, 5)


def test_markers_of_the_size_figure_say_how_many_tasks_they_are_of(row):
    rows = []
    for name, density in (("dense", 1.0), ("sparse", 0.1)):
        about = {"model": name, "model_path": name, "fingerprint": name, "density": density}
        for task, edges in (("a", 10), ("b", 1000)):
            rows.append(row(**about, task=task, edges=edges))
            reached = (name, task) != ("sparse", "b")
            rows.append(row(**about, task=task, edges=edges * 4, target_loss=0.01, reached=reached))
    found = analyse(rows)
    assert found.counts == {0.15: 2, 0.01: 1}
    for curve in found.curves:
        assert [(round(size.value, 6), loss) for size, loss in curve.marks] == [(100, 0.15), (40, 0.01)]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"min_shared": 0}, "min_shared must be at least 1"),
        ({"match_within": -1}, "match_within must be 0 or more"),
        ({"same_l0_within": -1}, "same_l0_within must be 0 or more"),
        ({"size": "weight"}, "size needs edges or edges_trimmed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        FrontierConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"models": ["nobody"]}, "no results of a model named 'nobody', only of dense, w128-210k"),
        ({"pruner": "edge"}, "no results of the pruner 'edge'"),
        ({"target_loss": 0.2}, "no results for the target loss 0.2"),
        ({"min_shared": 9}, "no models share 9 tasks at the target loss 0.15; the best model has 7"),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_is_written(tmp_path, family, written, settings, sentence):
    written(tmp_path / "r", family)
    with pytest.raises(UserError, match=sentence):
        write_frontier([tmp_path / "r"], tmp_path / "f.png", FrontierConfig(**settings))
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_models_without_any_task_or_any_loss_are_refused(tmp_path, row, fakes, written):
    written(tmp_path / "a", fakes("a", d_model=64, l0=100, density=0.1, loss=2.0, edges=50, tasks=0))
    with pytest.raises(UserError, match=r"no model has any of the 7 tasks at the target loss 0\.15"):
        write_frontier([tmp_path / "a"], tmp_path / "f.png")
    written(tmp_path / "b", [row(held_out_loss=None)])
    with pytest.raises(UserError, match="no model records its held-out loss"):
        write_frontier([tmp_path / "b"], tmp_path / "f.png")


def test_sizes_are_written_shortly():
    shown = [plain_number(value) for value in (0.05, 1, 950, 1200, 9999, 21_000, 210_000, 4_500_000, 2e9)]
    assert shown == ["0.05", "1", "950", "1,200", "9,999", "21k", "210k", "4.5M", "2B"]
