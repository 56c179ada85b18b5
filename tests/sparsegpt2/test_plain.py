"""Plain values from files: what is read, what is refused in one sentence, and types against annotations."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from sparsegpt2.errors import LONGEST, UserError
from sparsegpt2.files import read_json
from sparsegpt2.plain import check, check_record, fits, parse_json, read_text, reading, shallow, shown, stays_inside


@dataclass
class Record:
    name: str
    size: float
    kind: Literal["a", "b"] = "a"
    points: list[list[float]] = field(default_factory=list)


def test_what_json_can_hold_is_read():
    text = '{"a": [1, -2.5e3, 9223372036854775807, true, null], "b": "\\ud83d\\ude00 é"}'
    assert parse_json(text, "f") == {"a": [1, -2500.0, 2**63 - 1, True, None], "b": "😀 é"}
    assert parse_json("[NaN, -Infinity, 1]", "f", nan_is_none=True) == [None, None, 1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1, 2", "not valid JSON"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("[1e999]", "1e999 is too large"),
        ("[9223372036854775808]", "does not fit in 64 bits"),
        ("[" + "9" * 6000 + "]", "does not fit in 64 bits"),
        ('["\\ud800"]', "half a character"),
        ('{"\\uDFFF": 1}', "half a character"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_other_json_is_refused_in_one_sentence(text, why):
    with pytest.raises(UserError, match=r"^f (is not valid JSON|holds|is nested)") as error:
        parse_json(text, "f")
    assert why in str(error.value) and len(str(error.value)) < 300


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "latin").write_bytes("é".encode("latin-1"))
    for name, why in {
        "pipe": "is a pipe",
        "loop": "cannot be read",
        ".": "is a folder",
        "none": "does not exist",
        "a\0b": "not the name of a file",
        "latin": "not UTF-8",
    }.items():
        with pytest.raises(UserError, match=why):
            read_json(tmp_path / name, "report")
    (tmp_path / "mark").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert read_text(tmp_path / "mark") == "one\ntwo\n"


@pytest.mark.parametrize(
    ("value", "hint", "is_one"),
    [
        (1, int, True),
        (True, int, False),
        (1, float, True),
        (True, float, False),
        ("1", float, False),
        (None, int | None, True),
        ("b", Literal["a", "b"], True),
        (["a"], Literal["a", "b"], False),
        (1, Literal[True], False),
        ([1, 2], list[int], True),
        ([1, "2"], list[int], False),
        ((1, 2), list[int], False),
        ([1, 2], tuple[int, ...], True),
        ([1, 2], tuple[int, int], True),
        ([1, 2, 3], tuple[int, int], False),
        ({"a": [1.5]}, dict[str, list[float]], True),
        ({1: 2}, dict[str, int], False),
        (object(), Any, True),
    ],
)
def test_a_value_fits_its_annotation(value, hint, is_one):
    assert fits(value, hint) is is_one


def test_a_record_has_the_fields_of_its_class():
    good = {"name": "x", "size": 1, "points": [[1, 2.5]]}
    assert check_record(Record, good, "f") is good
    for change, why in (
        ({"nmae": 1}, "unknown field 'nmae'"),
        ({"size": "1"}, "f: the field 'size' cannot be \"1\""),
        ({"kind": []}, "'kind' cannot be \\[\\]"),
        ({"points": [1]}, "'points' cannot be \\[1\\]"),
    ):
        with pytest.raises(UserError, match=why):
            check_record(Record, {**good, **change}, "f")
    with pytest.raises(UserError, match="f lacks the field 'name'"):
        check_record(Record, {"size": 1}, "f")
    with pytest.raises(UserError, match="f is not a JSON object, but a list"):
        check_record(Record, [], "f")
    assert check_record(Record, {"other": 1}, "f", others=True) == {"other": 1}
    with pytest.raises(UserError, match="name cannot be null"):
        check(None, str, "name")


def test_what_breaks_while_a_record_is_taken_apart_is_one_sentence():
    for broken, why in (
        (lambda: {}["a"], "f is damaged .it lacks 'a'.; do it again"),
        (lambda: [][0], "f is damaged .*; do it again"),
    ):
        with pytest.raises(UserError, match=why), reading("f", "do it again"):
            broken()
    with pytest.raises(UserError, match=r"^f says so$"), reading("f", "do it again"):
        raise UserError("f says so")
    with pytest.raises(AssertionError), reading("f", "do it again"):  # a mistake of this program stays one
        raise AssertionError


def test_a_sentence_is_one_printable_line():
    said = str(UserError(f"a\nb\x1b[31m \ud800 {'x' * 5000} the end"))
    assert said.startswith("a b\\x1b[31m \\ud800 x") and said.endswith(" the end") and said.isprintable()
    assert len(said) < LONGEST + 50
    assert len(shown(["x" * 5000])) == 60


def test_depth_and_places():
    assert shallow([[1], {"a": [2]}], 3) and not shallow([[[1]]], 1)
    assert stays_inside("circuits/a.json") and stays_inside("a b.json")
    for name in ("/etc/passwd", "../a", "a/../../b", "", "a\\b", "a\0"):
        assert not stays_inside(name)
