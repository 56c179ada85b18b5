"""results.jsonl: written a whole line at a time, read strictly, repaired after an interruption."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields, replace

import pytest

from sparsegpt2 import UserError
from sparsegpt2.results import RESULTS, Row, append_row, current_rows, parse_row, read_rows, repair

REQUIRED = [item.name for item in fields(Row) if item.default is MISSING and item.default_factory is MISSING]


def test_rows_come_back_as_they_were_written(tmp_path, row):
    rows = [
        row(),
        row(task="zwei – \u2028 lines", status="lacks the task", edges=None, has_task=False, held_out_loss=None),
    ]
    for one in rows:
        append_row(tmp_path, one)
    assert read_rows(tmp_path) == rows
    assert read_rows(tmp_path / RESULTS) == rows


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_field_is_named_with_file_and_line(tmp_path, row, name):
    append_row(tmp_path, row())
    values = asdict(row())
    del values[name]
    with (tmp_path / RESULTS).open("a") as file:
        file.write(json.dumps(values) + "\n")
    with pytest.raises(UserError, match=rf"results\.jsonl line 2 lacks the field '{name}'"):
        read_rows(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"edgs": 3}, "unknown field 'edgs'"),
        ({"edges": "many"}, "'edges' cannot be \"many\""),
        ({"edges": True}, "'edges' cannot be true"),
        ({"status": "fine"}, "'status' cannot be"),
        ({"status": ["pruned"]}, "'status' cannot be"),
        ({"curve": [[1, 2, "three"]]}, "'curve' cannot be"),
        ({"nodes_per_site": {"a": 0.5}}, "'nodes_per_site' cannot be"),
        ({"loss": None}, "needs a number for 'loss'"),
    ],
)
def test_a_field_that_is_wrong_is_named(row, change, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        parse_row(json.dumps(asdict(row()) | change), "results.jsonl line 7")
    assert str(error.value).startswith("results.jsonl line 7")


@pytest.mark.parametrize("line", ["{", '{"loss": NaN}', "[]", "null", "\x00"])
def test_a_line_that_is_no_object_is_named(line):
    with pytest.raises(UserError, match="here line 1 is not"):
        parse_row(line, "here line 1")


def test_a_loss_that_is_not_a_number_is_not_written(tmp_path, row):
    with pytest.raises(ValueError, match="JSON"):
        append_row(tmp_path, row(loss=float("nan")))
    assert not (tmp_path / RESULTS).exists()


def test_folders_without_results_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere does not exist"):
        read_rows(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no results\.jsonl"):
        read_rows(tmp_path)
    (tmp_path / RESULTS).write_text("\n")
    with pytest.raises(UserError, match="holds no results yet"):
        read_rows(tmp_path)
    (tmp_path / RESULTS).write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_rows(tmp_path)


def test_a_line_torn_at_any_byte_is_refused_by_readers_and_cut_off_by_repair(tmp_path, row):
    first, second = row(), row(seed=1)
    append_row(tmp_path, first)
    whole = (tmp_path / RESULTS).stat().st_size
    append_row(tmp_path, second)
    data = (tmp_path / RESULTS).read_bytes()
    for end in range(whole + 1, len(data), 97):
        (tmp_path / RESULTS).write_bytes(data[:end])
        with pytest.raises(UserError, match="line 2 is not valid JSON"):
            read_rows(tmp_path)
        assert repair(tmp_path)
        assert read_rows(tmp_path) == [first]
        assert not repair(tmp_path)
    (tmp_path / RESULTS).write_bytes(data[: whole // 2])  # nothing whole is left
    assert repair(tmp_path)
    assert (tmp_path / RESULTS).read_bytes() == b""


def test_repair_needs_no_file(tmp_path):
    assert not repair(tmp_path)


def test_identity_changes_with_all_that_decides_the_numbers_and_with_nothing_else(row):
    decides = {
        "fingerprint": "g",
        "task": "with_as",
        "task_fingerprint": "u",
        "pruner": "random",
        "seed": 1,
        "target_loss": 0.1,
        "settings": {"steps": 11},
    }
    for name, value in decides.items():
        assert replace(row(), **{name: value}).identity != row().identity
    for name, value in {"model": "other", "edges": 5, "seconds": 9.0, "machine": "another"}.items():
        assert replace(row(), **{name: value}).identity == row().identity


def test_a_status_of_an_earlier_version_reads_as_todays_with_the_same_identity(row):
    now = row(status="lacks the task", has_task=False, loss=None, edges=None)
    former = parse_row(json.dumps(asdict(now) | {"status": "has not"}), "here")
    assert former == now and former.identity == now.identity


@pytest.mark.parametrize(
    ("loss", "changes", "misses"),
    [
        (0.28, {}, True),
        (0.15, {}, False),
        (0.28, {"reached": False}, False),  # missed already where it was chosen, so it does not count
        (0.28, {"has_task": False}, False),
    ],
)
def test_a_circuit_that_counts_but_misses_its_target_on_test_pairs_is_marked(row, loss, changes, misses):
    assert row(target_loss=0.15, loss=loss, **changes).misses_on_test == misses


def test_current_rows_are_the_last_of_each_cell_of_the_model_now_at_a_path(row):
    old_settings, new_settings = row(settings={"steps": 1}), row(settings={"steps": 2}, edges=7)
    assert current_rows([old_settings, new_settings]) == [new_settings]
    retrained = row(fingerprint="new", task="with_as")
    elsewhere = row(fingerprint="other", model_path="runs/b")
    assert current_rows([row(), elsewhere, retrained]) == [elsewhere, retrained]
