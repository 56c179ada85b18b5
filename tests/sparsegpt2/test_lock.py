"""One writer a folder: the second is told, a killed one's lock ends with it, nothing is lost or doubled in races."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sparsegpt2 import UserError
from sparsegpt2.lock import appending, locked, locked_file

ROOT = Path(__file__).parents[2]
HOLD = """
import sys, time
from sparsegpt2.lock import locked
with locked(sys.argv[1], "run folder"):
    print("held", flush=True)
    time.sleep(600)
"""
RACE = """
import json, os, sys
from pathlib import Path
from sparsegpt2.errors import UserError
from sparsegpt2.lock import appending, locked
folder, name = Path(sys.argv[1]), sys.argv[2]
for race in range(int(sys.argv[3])):
    try:
        with locked(folder / str(race), "results folder"):
            with appending(folder / str(race) / "rows") as file:
                there = {json.loads(line)["row"] for line in open(folder / str(race) / "rows")}
            for row in range(3):
                if row not in there:
                    with appending(folder / str(race) / "rows") as file:
                        os.write(file, (json.dumps({"row": row, "of": name}) + chr(10)).encode())
    except UserError as error:
        assert "in use by process" in str(error) or "another process" in str(error), error
        print(race, flush=True)
"""


def start(code: str, *arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_a_second_writer_is_told_who_holds_it_and_a_kill_frees_it(tmp_path):
    holder = start(HOLD, tmp_path / "run")
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=f"run folder .*run is in use by process {holder.pid} on"),
        locked(tmp_path / "run", "run folder"),
    ):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "run", "run folder"):
        pass
    assert os.listdir(tmp_path / "run") == []  # it was there before


def test_the_holder_ends_what_killed_writers_had_begun(tmp_path):
    for name in ("best", "last"):
        (tmp_path / "run" / f".{name}.previous").mkdir(parents=True)
        (tmp_path / "run" / f".{name}.previous" / "old").write_text(name)
        (tmp_path / "run" / f".{name}.01234567.tmp").mkdir()
    (tmp_path / "run" / "best").mkdir()
    with locked(tmp_path / "run", "run folder"):
        assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [".lock", "best", "last"]
    assert (tmp_path / "run" / "last" / "old").read_text() == "last"


def test_a_folder_made_for_nothing_is_gone(tmp_path):
    with locked(tmp_path / "a" / "b", "run folder"):
        assert os.listdir(tmp_path / "a" / "b") == [".lock"]
    assert os.listdir(tmp_path) == []
    with locked(tmp_path / "a" / "b", "run folder"):
        (tmp_path / "a" / "b" / "kept").write_text("")
    assert os.listdir(tmp_path / "a" / "b") == ["kept"]
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="file is a file; name a folder"), locked(path, "run folder"):
            pass


def test_who_waits_says_so_and_goes_on(tmp_path, capsys):
    holder = start(HOLD, tmp_path)
    assert holder.stdout.readline() == "held\n"
    killer = start("import os, sys, time; time.sleep(0.5); os.kill(int(sys.argv[1]), 9)", holder.pid)
    started = time.monotonic()
    with locked_file(tmp_path / ".lock", "prepared data", wait=True):
        assert time.monotonic() - started > 0.2
    assert f"waiting for process {holder.pid} on" in capsys.readouterr().err
    assert holder.wait() == -signal.SIGKILL and killer.wait() == 0


def test_races_lose_nothing_and_double_nothing(tmp_path):
    races = 40  # a thousand by hand: change this number
    for process in (processes := [start(RACE, tmp_path, name, races) for name in "abc"]):
        assert process.wait(timeout=120) == 0
    told = [int(line) for process in processes for line in process.stdout]
    for race in range(races):
        rows = [json.loads(line) for line in (tmp_path / str(race) / "rows").read_text().splitlines()]
        assert sorted(row["row"] for row in rows) == [0, 1, 2], (race, told)
        assert os.listdir(tmp_path / str(race)) == ["rows"]


@pytest.mark.parametrize("torn", [b'{"row": 1', b"x" * 200_000, b""])
def test_a_torn_line_is_cut_off_before_the_next(tmp_path, torn):
    path = tmp_path / "rows"
    path.write_bytes(b'{"row": 0}\n' + torn)
    with appending(path) as file:
        os.write(file, b'{"row": 2}\n')
    assert path.read_bytes() == b'{"row": 0}\n{"row": 2}\n'
