"""Writing in one step: nobody reads half a file, an interruption never loses the old one, nothing foreign goes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sparsegpt2 import UserError, files
from sparsegpt2.files import (
    Kind,
    read_json,
    read_settled,
    recover_directory,
    replacing,
    replacing_directory,
    settled,
    write_json,
)

KIND = Kind("a test's folder", ("mark", "old", "new", "part-*"), "mark", ("ours",))


def write(path: Path, name: str = "old") -> None:
    with replacing_directory(path, KIND) as folder:
        (folder / "mark").write_text("this is ours")
        (folder / name).write_text(name)


def killed_inside(code: str, *arguments: object) -> None:
    """Run code in a process that kills itself."""
    code = f"import os, signal, sys\nfrom pathlib import Path\n{code}"
    process = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=Path(__file__).parents[2])
    assert process.returncode == -signal.SIGKILL


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
        write(tmp_path / "d", content)
    assert sorted(os.listdir(tmp_path / "d")) == ["mark", "new"]
    with pytest.raises(RuntimeError), replacing_directory(tmp_path / "d", KIND) as directory:
        (directory / "part-0").write_text("")
        raise RuntimeError
    assert os.listdir(tmp_path) == ["d"]
    assert sorted(os.listdir(tmp_path / "d")) == ["mark", "new"]


@pytest.mark.parametrize(
    ("fill", "sentence"),
    [
        (lambda d: (d / "thesis.txt").write_text("dear to someone"), r"something other than a test's folder \(thesis"),
        (lambda d: (d / "sub").mkdir(), r"something other than a test's folder \(sub\)"),
        (lambda d: (d / "old").symlink_to("/etc/passwd"), r"something other than a test's folder \(old\)"),
        (lambda d: (d / "old").write_text("without a mark"), "something other than a test's folder; name a new"),
        (lambda d: (d / "mark").write_text("of another format"), "something other than a test's folder; name a new"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path, fill, sentence):
    folder = tmp_path / "d"
    folder.mkdir()
    fill(folder)
    before = {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()}
    with pytest.raises(UserError, match=sentence):
        write(folder)
    assert {path.name: path.lstat().st_mtime_ns for path in folder.iterdir()} == before
    assert os.listdir(tmp_path) == ["d"]


def test_what_appears_while_a_folder_is_written_is_left_alone_too(tmp_path):
    write(tmp_path / "d")
    with pytest.raises(UserError, match="notes"), replacing_directory(tmp_path / "d", KIND):
        (tmp_path / "d" / "notes").write_text("made meanwhile")
    assert sorted(os.listdir(tmp_path / "d")) == ["mark", "notes", "old"]


def test_a_file_or_a_link_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    write(tmp_path / "d")
    (tmp_path / "link").symlink_to(tmp_path / "d")
    for name, sentence in (("file", "file is a file; name a folder"), ("link", "is a symbolic link; name the folder")):
        for _ in range(2):
            with pytest.raises(UserError, match=sentence):
                write(tmp_path / name)
    with pytest.raises(UserError, match="file is a file; name a folder"):
        write_json(tmp_path / "file" / "a.json", {})
    write(tmp_path / "empty")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "d" / "old").exists()


def test_a_swap_cut_between_its_two_renames_is_read_and_then_undone_by_a_writer(tmp_path):
    write(tmp_path / "d")
    (tmp_path / "d").rename(tmp_path / ".d.previous")  # what is there when the process dies between the renames
    assert settled(tmp_path / "d", seconds=0.01) == tmp_path / ".d.previous"
    assert read_settled(tmp_path / "d", lambda folder: (folder / "old").read_text()) == "old"
    assert os.listdir(tmp_path) == [".d.previous"]  # a reader moves nothing
    recover_directory(tmp_path / "d")
    assert (tmp_path / "d" / "old").read_text() == "old"


def test_readers_see_one_state_while_a_writer_replaces_it(tmp_path):
    """A reader's two files are of the same write, in every one of hundreds of swaps, and no reader harms the writer."""
    failures: list[BaseException] = []
    over = threading.Event()

    def writer():
        try:
            for number in range(200):
                with replacing_directory(tmp_path / "d", KIND) as folder:
                    for name in ("mark", "old", "new"):
                        (folder / name).write_text(f"ours {number}")
        except BaseException as error:
            failures.append(error)
        over.set()

    def read(folder):
        first = (folder / "old").read_text()
        time.sleep(0.0005)
        return first, (folder / "new").read_text()

    write(tmp_path / "d", "old")
    (tmp_path / "d" / "new").write_text("old")
    thread = threading.Thread(target=writer)
    thread.start()
    reads = 0
    try:
        while not over.is_set():
            one, other = read_settled(tmp_path / "d", read)
            assert one == other
            reads += 1
    finally:
        thread.join()  # a writer left running would rename under the feet of the next test
    assert not failures and reads > 10


def test_the_next_writer_clears_what_a_killed_one_left_and_nothing_of_a_living_one(tmp_path):
    code = """
from sparsegpt2.files import replacing, replacing_directory
from tests.sparsegpt2.test_files import KIND
out = Path(sys.argv[1])
with replacing(out / "a.json") as one, replacing_directory(out / "d", KIND) as other:
    one.write_text("half"); (other / "part-0").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed_inside(code, tmp_path)
    assert len(os.listdir(tmp_path)) == 2
    with replacing(tmp_path / "a.json") as living:
        living.write_text("1")
        write_json(tmp_path / "a.json", 2)
        assert living.exists()
    write(tmp_path / "d")
    assert sorted(os.listdir(tmp_path)) == ["a.json", "d"] and read_json(tmp_path / "a.json") == 1


def test_modes_follow_the_umask(tmp_path):
    earlier = os.umask(0o027)
    try:
        with replacing_directory(tmp_path / "d", KIND) as folder:
            (folder / "mark").write_text("ours")
            (folder / "mark").chmod(0o600)  # as safetensors does
        write_json(tmp_path / "a.json", 1)
    finally:
        os.umask(earlier)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "d" / "mark", tmp_path / "a.json")] == [0o640] * 2


def test_content_is_on_the_disk_before_its_name_is_and_the_name_before_it_counts(tmp_path, monkeypatch):
    done: list[tuple[str, str]] = []
    rename = os.replace
    monkeypatch.setattr(files, "sync", lambda path: done.append(("sync", Path(path).name)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (done.append(("rename", Path(b).name)), rename(a, b)))
    write_json(tmp_path / "new" / "a.json", 1)
    assert [what for what, _ in done] == ["sync", "sync", "rename", "sync"]
    assert done[0] == ("sync", tmp_path.name) and done[2:] == [("rename", "a.json"), ("sync", "new")]
    done.clear()
    write(tmp_path / "d")
    assert done[-2:] == [("rename", "d"), ("sync", tmp_path.name)]
    assert {name for what, name in done[:-2] if what == "sync"} >= {"mark", "old"}


def test_broken_json_is_one_sentence(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="truncated"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"manifest .* does not exist"):
        read_json(tmp_path / "b.json", "manifest")


def test_a_reader_waits_for_a_writer_that_pauses_between_its_two_renames(tmp_path, monkeypatch):
    """The folder is looked at twice in the gap, once by `settled` just before it: it must not count as missing."""
    write(tmp_path / "d", "old")
    looks = iter(range(100))

    def settled_too_early(path):
        if next(looks) == 0:
            os.replace(tmp_path / "d", tmp_path / ".d.previous")
        elif (tmp_path / ".d.previous").exists():
            os.replace(tmp_path / ".d.previous", tmp_path / "d")
        return Path(path)

    monkeypatch.setattr(files, "settled", settled_too_early)
    assert read_settled(tmp_path / "d", lambda folder: (folder / "old").read_text()) == "old"


def test_a_missing_folder_is_said_by_its_reader(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_settled(tmp_path / "d", lambda folder: (folder / "old").read_text())


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for path, sentence in (
        (tmp_path, "is a folder; name a file"),
        (tmp_path / "file" / "a.json", "is a file; name a folder"),
        (Path("/proc/a.json"), "cannot be written"),
    ):
        with pytest.raises(UserError, match=sentence):
            files.check_writable(path)
    files.check_writable(tmp_path / "new" / "a.json")
    assert os.listdir(tmp_path) == ["file"]
