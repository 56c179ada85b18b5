"""Packed rows are read like plain ones, and writers go on beside them."""

from __future__ import annotations

import gzip

import pytest

from eval_tasks.bench.runner import finished_rows
from sparsegpt2 import UserError
from sparsegpt2.results import PACKED, RESULTS, append_row, has_rows, merge_results, pack_rows, read_rows


def test_packed_rows_are_read_first_and_writers_append_plain_lines(tmp_path, row):
    first, second, third = (row(task=name) for name in ("one", "two", "three"))
    append_row(tmp_path, first)
    append_row(tmp_path, second)
    assert pack_rows(tmp_path) == tmp_path / PACKED
    assert not (tmp_path / RESULTS).exists()
    assert read_rows(tmp_path) == read_rows(tmp_path / PACKED) == [first, second]
    append_row(tmp_path, third)
    assert read_rows(tmp_path / RESULTS) == [third]
    assert read_rows(tmp_path) == [first, second, third]
    assert set(finished_rows(tmp_path)) == {one.identity for one in (first, second, third)}
    pack_rows(tmp_path)
    assert read_rows(tmp_path) == [first, second, third]
    assert has_rows(tmp_path)


def test_the_same_rows_pack_to_the_same_bytes(tmp_path, row):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        append_row(tmp_path / name, row())
        pack_rows(tmp_path / name)
    assert (tmp_path / "a" / PACKED).read_bytes() == (tmp_path / "b" / PACKED).read_bytes()


def test_merging_leaves_packed_rows_where_they_are(tmp_path, row):
    packed, merged = row(task="one"), row(task="two")
    append_row(tmp_path, packed)
    pack_rows(tmp_path)
    (tmp_path / "part").mkdir()
    append_row(tmp_path / "part", merged)
    merge_results([tmp_path / "part"], tmp_path)
    assert [one.task for one in read_rows(tmp_path)] == ["one", "two"]
    assert [one.task for one in read_rows(tmp_path / RESULTS)] == ["two"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda data: data[: len(data) // 2], "cannot be unpacked"),
        (lambda data: data[:20] + bytes([data[20] ^ 255]) + data[21:], "cannot be unpacked"),
        (lambda data: b"{}\n", "cannot be unpacked"),
        (lambda data: gzip.compress(b" " * 10_000_000), "more than 200 times its size"),
        (lambda data: gzip.compress(b"\xff\xfe\n"), "not UTF-8"),
        (lambda data: gzip.compress(b'{"model": 1}\n'), r"results\.jsonl\.gz line 1"),
        (lambda data: gzip.compress(b"\n"), "holds no results yet"),
    ],
)
def test_a_damaged_packed_file_is_one_sentence(tmp_path, row, damage, sentence):
    append_row(tmp_path, row())
    path = pack_rows(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=sentence) as error:
        read_rows(tmp_path)
    assert "\n" not in str(error.value)
