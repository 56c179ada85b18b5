"""Writing in one step: a reader never sees half a file, an interruption never loses the old one."""

from __future__ import annotations

import os

import pytest

from sparsegpt2 import UserError
from sparsegpt2.files import Kind, read_json, recover_directory, replacing, replacing_directory, write_json

KIND = Kind("a test", ("old", "new", "content", "half", "mark"), "mark", ("ours",))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_directory_is_replaced_whole(tmp_path):
    for content in ("old", "new"):
        with replacing_directory(tmp_path / "d", KIND) as directory:
            (directory / content).write_text(content)
    assert os.listdir(tmp_path / "d") == ["new"]
    with pytest.raises(RuntimeError), replacing_directory(tmp_path / "d", KIND) as directory:
        (directory / "half").write_text("")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["d"]
    assert os.listdir(tmp_path / "d") == ["new"]


def test_a_swap_cut_between_its_two_renames_is_undone(tmp_path):
    with replacing_directory(tmp_path / "d", KIND) as directory:
        (directory / "content").write_text("kept")
    (tmp_path / "d").rename(tmp_path / ".d.previous")  # what is there when the process dies between the renames
    recover_directory(tmp_path / "d")
    assert (tmp_path / "d" / "content").read_text() == "kept"


def test_broken_json_is_one_sentence(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="truncated"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"manifest .* does not exist"):
        read_json(tmp_path / "b.json", "manifest")
