"""Text and YAML values become values of a setting's type, by the same rules; what cannot is one plain sentence."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.settings.values import did_you_mean, value_of
from sparsegpt2.text.corpus.base import CorpusConfig


@pytest.mark.parametrize(
    ("given", "kind", "value"),
    [
        ("0,1,2", tuple[int, ...], (0, 1, 2)),
        ("[0, 1, 2]", tuple[int, ...], (0, 1, 2)),
        ([0, 1, 2], tuple[int, ...], (0, 1, 2)),
        ("7", tuple[int, ...], (7,)),
        (7, tuple[int, ...], (7,)),
        ("", tuple[str, ...], ()),
        ("[]", tuple[str, ...], ()),
        ("a, b", tuple[str, ...], ("a", "b")),
        ('["a", "b"]', tuple[str, ...], ("a", "b")),
        ("own/task.py", tuple[str, ...], ("own/task.py",)),
        ("0.15,5e-2", tuple[float, ...], (0.15, 0.05)),
        ("[0.15, 5e-2]", tuple[float, ...], (0.15, 0.05)),
        ("0.9,0.95", tuple[float, float], (0.9, 0.95)),
        ("1e5", int, 100_000),
        (1e5, int, 100_000),
        ("100_000", int, 100_000),
        ("-3", int, -3),
        ("3", float, 3.0),
        ("true", bool, True),
        ("No", bool, False),
        (False, bool, False),
        ("null", str | None, None),
        ("none", str | None, "none"),
        ("rms", Literal["rms", "layer"], "rms"),
        ("initial", tuple[Literal["initial", "permuted"], ...], ("initial",)),
        ("[{name: stdlib}]", list[CorpusConfig], [CorpusConfig(name="stdlib")]),
        ([{"name": "files", "weight": "2"}], list[CorpusConfig], [CorpusConfig(name="files", weight=2.0)]),
        ("{lr: [5e-3, 1e-2], seed: [0, 1]}", dict[str, list[Any]], {"lr": [5e-3, 1e-2], "seed": [0, 1]}),
        ("lr: 5e-3,1e-2", dict[str, list[Any]], {"lr": [5e-3, 1e-2]}),
    ],
)
def test_what_is_understood(given, kind, value):
    found = value_of(given, kind, "it")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "kind", "sentence"),
    [
        ("1.5", int, "--it needs a whole number, not '1.5'"),
        ("1e400", int, "--it needs a whole number, not '1e400'"),
        ("inf", int, "--it needs a whole number, not 'inf'"),
        (True, int, "--it needs a whole number, not True"),
        ("nan", float, "--it needs a number, not 'nan'"),
        ("much", float, "--it needs a number, not 'much'"),
        ("maybe", bool, "--it needs true or false, not 'maybe'"),
        ("a,b", tuple[int, ...], "--it needs whole numbers with commas between, such as 0,1, not 'a,b'"),
        ("0.9", tuple[float, float], "--it needs 2 numbers with commas between, such as 0.1,0.2, not '0.9'"),
        ("rns", Literal["rms", "layer"], "--it needs rms or layer, not 'rns'; did you mean rms?"),
        ({"a": {"b": "c" * 999}}, int, "--it needs a whole number, not a group of settings"),
        ("x" * 999, int, None),
        (None, str, "--it needs text, not nothing"),
        ([{"nam": "stdlib"}], list[CorpusConfig], None),
        ("[1", tuple[int, ...], None),
        (
            "{a: [[1]]}",
            dict[str, list[Any]],
            "--it needs lists of numbers or words by name, such as {name: [1, 2]}, not '{a: [[1]]}'",
        ),
    ],
)
def test_what_is_not_is_one_sentence(given, kind, sentence):
    with pytest.raises(UserError) as raised:
        value_of(given, kind, "--it")
    text = str(raised.value)
    assert sentence is None or text == sentence
    assert "--it" in text and len(text) < 200 and "\n" not in text and "<class" not in text


def test_a_word_like_a_known_one_is_suggested():
    assert did_you_mean("sead", ["seed", "steps"], "--") == "; did you mean --seed?"
    assert did_you_mean("fly", ["seed", "steps"]) == ""
