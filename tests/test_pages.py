"""Numbers of README and docs are those of the committed results, and what is committed there is of use."""

from __future__ import annotations

import math
import re

import pytest

from sparsegpt2.reading.page import WORDS
from sparsegpt2.report.frontier import analyse
from sparsegpt2.results import PACKED, RESULTS, load_results, write_table
from studies.pages import __main__ as command
from studies.pages import fair, models, ratios, registry, rows
from studies.pages.markers import MarkerError, fill

ROOT = rows.ROOT
FILLED = (
    "Edges: <!-- n: edges main dense-80 -->780<!-- /n -->.\n\n<!-- numbers: two -->\n\n| a |\n\n<!-- /numbers -->\n"
)


def test_every_number_is_that_of_the_committed_results():
    assert command.check() == [], "run `python -m studies.pages`"


def test_a_changed_number_is_named_with_file_marker_found_and_right(monkeypatch):
    pages = command.pages()
    name = "docs/results/main.md"
    marker = "ratio main dense-80 memory-512-98k"
    right = registry.value(marker)
    text = pages[name].replace(f"<!-- n: {marker} -->{right}<!-- /n -->", f"<!-- n: {marker} -->40.0<!-- /n -->", 1)
    text = text.replace("| dense-80 | 80 |", "| dense-80 | 81 |")
    monkeypatch.setattr(command, "pages", lambda: {name: text})
    table, number = command.check()
    assert number == f"{name}: {marker}: found '40.0', right is '{right}'"
    assert table.startswith(f"{name}: models_table main: found '| dense-80 | 81 |")
    assert "right is '| dense-80 | 80 |" in table


def test_markers_are_filled_and_the_rest_of_a_page_stays():
    text, differences = fill(FILLED, lambda name: {"two": "| b |"}.get(name, "781"))
    assert text == FILLED.replace(">780<", ">781<").replace("| a |", "| b |")
    assert [(each.found, each.right) for each in differences] == [("| a |", "| b |"), ("780", "781")]
    assert fill(text, lambda name: {"two": "| b |"}.get(name, "781")) == (text, [])
    empty, _ = fill(FILLED, lambda name: "")
    assert "<!-- numbers: two -->\n<!-- /numbers -->" in empty
    assert fill(empty, lambda name: {"two": "| a |"}.get(name, "780"))[0] == FILLED


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("has <!-- n: edges main dense-80 -->780", "not closed"),
        ("<!-- numbers: a -->\n\n<!-- numbers: b -->\n\n<!-- /numbers -->", "not closed"),
        ("has\n<!-- n: edges main dense-80 -->780<!-- /n -->", "start of a line"),
        ("has <!-- n: edgs main dense-80 -->780<!-- /n -->", "'edgs' is no number"),
        ("has <!-- n: edges main dense-81 -->780<!-- /n -->", "dense-81"),
        ("has <!-- n: edges main -->780<!-- /n -->", "missing 1 required"),
        ("has <!-- n: edges main dense-80 sort=x -->780<!-- /n -->", "sort"),
    ],
)
def test_a_marker_that_cannot_be_filled_is_named(text, sentence):
    with pytest.raises(MarkerError, match=sentence):
        fill(text, registry.value)


def test_an_interval_over_tasks_holds_the_ratio_and_is_that_of_its_tasks():
    found = ratios.compared("main", "dense-80", "memory-512-98k")
    low, high = ratios.interval_of(found)
    assert low < found.spread.value < high
    logs = [
        math.log(ratios.task_ratio_of(found.dense, found.sparse, task))
        for task in set(found.dense.counted) & set(found.sparse.counted)
    ]
    mean = sum(logs) / len(logs)
    error = math.sqrt(sum((one - mean) ** 2 for one in logs)) / len(logs)
    assert math.log(high / low) == pytest.approx(2 * 1.96 * error, rel=0.1)  # as for a normal mean


def test_the_fair_pair_comes_first():
    value = ratios.compared("main", ratios.TUNED, fair.SPARSE).spread.value
    assert f"**{value:.1f}**" in registry.value("fair")
    assert f"{value:.1f}" in registry.value("caveat")
    first, second = registry.value("ratios_table main").splitlines()[2:4]
    assert first.startswith(f"| {fair.SPARSE} | {ratios.TUNED} (tuned) | -0.001 |")
    assert "(not tuned)" in second
    made_of = registry.value("made_of_table main dense-80 memory-512-98k edge+trim").splitlines()
    assert made_of[0].startswith(f"| size of a circuit | {ratios.TUNED} : {fair.SPARSE} |")
    assert " | - | " in made_of[-1], "there are no circuits of edges of the tuned model"
    assert f"{ratios.TUNED} : {fair.SPARSE}" in registry.value("targets_table main").splitlines()[0]


def test_circuits_that_miss_on_test_pairs_are_marked_and_counted():
    table = registry.value("tasks_table main")
    found = models.models("main")
    for name, model in found.items():
        for task in model.counted:
            cell = re.search(rf"^\| {task} \| (.*) \|$", table, re.MULTILINE)[1].split(" | ")[list(found).index(name)]
            assert cell.endswith(models.MISSED) == any(row.loss > row.target_loss for row in model.tasks[task].rows)
    missed, circuits = (sum(column) for column in zip(*map(models.missed_of, found.values()), strict=True))
    assert f"{missed} of the {circuits} circuits" in " ".join(table.split())


def test_the_page_of_read_circuits_has_the_words_of_today():
    page = (ROOT / "docs" / "results" / "circuits.md").read_text()
    for file in WORDS.glob("*.md"):
        fingerprint, words = file.read_text().split("\n", 1)
        assert fingerprint.removeprefix("circuit: ") in page
        assert words.strip() in page, f"put the words of {file.name} into docs/results/circuits.md"


def test_committed_rows_are_packed():
    for folder in rows.FOLDERS.values():
        assert (folder / PACKED).is_file()
        assert not (folder / RESULTS).exists(), "run `python -m studies.pages --pack`"


@pytest.mark.parametrize("folder", rows.FOLDERS.values(), ids=rows.FOLDERS)
def test_tables_beside_the_figures_are_those_of_the_rows(folder, tmp_path):
    found = analyse(load_results([folder]))
    for name, table in (("", found.model_table()), ("-tasks", found.task_table()), ("-sizes", found.sizes_table())):
        write_table(tmp_path / "made.csv", table)
        assert (tmp_path / "made.csv").read_text() == (folder / f"frontier{name}.csv").read_text(), (
            "draw with --figures"
        )


def test_every_committed_picture_of_results_is_linked():
    text = "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")))
    for picture in (ROOT / "docs" / "results").rglob("*.*"):
        if picture.suffix in (".png", ".svg"):
            assert f"{picture.parent.name}/{picture.name})" in text, picture


def test_every_entry_of_the_log_has_a_date_and_a_verdict():
    headings = re.findall(r"^## (.*)$", (ROOT / "docs" / "log.md").read_text(), re.MULTILINE)
    assert len(headings) > 40
    dates = []
    for heading in headings:
        found = re.fullmatch(r"(20\d\d-\d\d-\d\d) · (.+)", heading)
        assert found, heading
        assert len(found[2].split()) >= 5, f"{heading!r} says what was tried, but not what came of it"
        dates.append(found[1])
    assert dates == sorted(dates, reverse=True)


def test_decisions_stay_short():
    assert len((ROOT / "docs" / "decisions.md").read_text().splitlines()) <= 150
