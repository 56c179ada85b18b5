"""Commands side by side: order within a lane, lines passed on, the first failure ends all."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sparsegpt2 import lanes


@pytest.fixture
def as_python(monkeypatch):
    """Commands are Python code instead of arguments of `sparsegpt2`."""
    start = subprocess.Popen

    def popen(command, **settings):
        assert command[:4] == [sys.executable, "-u", "-m", "sparsegpt2.cli"]
        return start([sys.executable, "-u", "-c", *command[4:]], **settings)

    monkeypatch.setattr(lanes.subprocess, "Popen", popen)


def test_lanes_run_side_by_side_and_in_order(as_python, tmp_path, capfd):
    meet = f"""
import pathlib, time
pathlib.Path({str(tmp_path)!r}, "NAME").touch()
while not pathlib.Path({str(tmp_path)!r}, "OTHER").exists(): time.sleep(0.01)
print("NAME met OTHER")
"""
    one, two = meet.replace("NAME", "one").replace("OTHER", "two"), meet.replace("OTHER", "one").replace("NAME", "two")
    lanes.run_lanes([[[one], ["print('after one')"]], [[two]]])
    printed = capfd.readouterr().out
    assert "two met one" in printed
    assert printed.index("one met two") < printed.index("\nafter one")


def test_a_failure_ends_all_lanes_with_its_status(as_python, capfd):
    lines = ["import sys; print('what is wrong', file=sys.stderr); sys.exit(2)"]
    with pytest.raises(SystemExit) as raised:
        lanes.run_lanes([[lines, ["print('never printed')"]], [["import time; time.sleep(600)"]]])
    assert raised.value.code == 2
    printed = capfd.readouterr().out
    assert "what is wrong" in printed and "\nnever printed" not in printed
