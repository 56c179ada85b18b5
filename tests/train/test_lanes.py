"""Commands side by side: order within a lane, lines passed on, the first failure ends all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from train import lanes


@pytest.fixture
def as_python(monkeypatch):
    """Commands are Python code instead of arguments of `sparsegpt2`."""
    start = subprocess.Popen

    def popen(command, **settings):
        assert command[:5] == [sys.executable, "-P", "-u", "-m", "sparsegpt2"]
        return start([sys.executable, "-u", "-c", *command[5:]], **settings)

    monkeypatch.setattr(lanes.subprocess, "Popen", popen)


def test_lanes_run_side_by_side_and_in_order(as_python, tmp_path, capfd):
    meet = f"""
import pathlib, time
pathlib.Path({str(tmp_path)!r}, "NAME").touch()
while not pathlib.Path({str(tmp_path)!r}, "OTHER").exists(): time.sleep(0.01)
print("NAME met OTHER")
"""
    one, two = meet.replace("NAME", "one").replace("OTHER", "two"), meet.replace("OTHER", "one").replace("NAME", "two")
    lanes.run_lanes([[[one], ["print('after one')"]], [[two]]], threads=1)
    printed = capfd.readouterr().out
    assert "two met one" in printed
    assert printed.index("one met two") < printed.index("\nafter one")


def test_a_failure_ends_all_lanes_with_its_status(as_python, capfd):
    failing = ["import sys; print('what is wrong', file=sys.stderr); sys.exit(2)"]
    with pytest.raises(SystemExit) as raised:
        lanes.run_lanes([[failing, ["print('never printed')"]], [["import time; time.sleep(600)"]]], threads=1)
    assert raised.value.code == 2
    printed = capfd.readouterr().out
    assert "what is wrong" in printed and "\nnever printed" not in printed


def test_commands_have_their_share_of_threads(as_python, capfd):
    lanes.run_lanes([[["import os; print('threads', os.environ['OMP_NUM_THREADS'])"]]], threads=3)
    assert "\nthreads 3" in capfd.readouterr().out


def test_a_queue_keeps_all_lanes_busy_and_forgives_mistakes(as_python, tmp_path, capfd):
    wait = f"""
import pathlib, time
while not pathlib.Path({str(tmp_path)!r}, "last").exists(): time.sleep(0.01)
print("waited")
"""
    last = f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'last').touch()"
    commands = [[wait], ["import sys; sys.exit(2)"], ["print('not ended')"], [last]]
    lanes.run_queue(commands, 2, forgiving=True)  # the first command waits for the last: only another lane can reach it
    printed = capfd.readouterr().out
    assert "\nnot ended" in printed and "\nwaited" in printed
    with pytest.raises(SystemExit):
        lanes.run_queue([["import sys; sys.exit(2)"]], 2)
    with pytest.raises(SystemExit):
        lanes.run_queue([["import sys; sys.exit(130)"]], 2, forgiving=True)
