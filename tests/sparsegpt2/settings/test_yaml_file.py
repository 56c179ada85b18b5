"""Files of settings: what is read, and one sentence for each way in which a file is none."""

from __future__ import annotations

import time

import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.settings.yaml_file import read_yaml


def test_numbers_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbftokens: 1e5\nlr: 5e-3\nwidth: 0x40\nname: e5\n")
    assert read_yaml(path) == {"tokens": 1e5, "lr": 5e-3, "width": 64, "name": "e5"}


def test_a_merged_key_may_be_given_again(tmp_path):
    (tmp_path / "a.yaml").write_text(
        "base: &base {a: 1, b: 2}\nother: &other {<<: *base, a: 3}\nmore: {<<: *other, b: 4}\n"
    )
    assert read_yaml(tmp_path / "a.yaml")["more"] == {"a": 3, "b": 4}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"tokens: 1\ntokens: 2\n", "line 2: tokens is given twice"),
        (b"model: {d_model: 1, d_model: 1}", "d_model is given twice"),
        (b"model:\n\td_model: 3\n", "line 2: a tab; indent with spaces"),
        (b"", "holds no settings"),
        (b"# nothing\n", "holds no settings"),
        (b"- a\n- b\n", "is a list"),
        (b"3\n", "is only '3'"),
        (b"a: [1\n", "not valid YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: " + b"[" * 5000, "nested too deeply"),
        (b"a: 2001-99-99", "not valid YAML"),
        (b"? [a]\n: b\n", "not valid YAML"),
        (b"a: \x07", "not valid YAML"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path, text, sentence):
    path = tmp_path / "bad.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=r"bad.yaml") as raised:
        read_yaml(path)
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"no.yaml does not exist"):
        read_yaml(tmp_path / "no.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_yaml(tmp_path)


def test_what_grows_when_it_is_read_is_refused_at_once(tmp_path):
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for level in range(1, 9):
        copies = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {{<<: [{copies}]}}")
    (tmp_path / "bomb.yaml").write_text("\n".join(lines))
    started = time.monotonic()
    with pytest.raises(UserError, match="too much is merged"):
        read_yaml(tmp_path / "bomb.yaml")
    assert time.monotonic() - started < 20
