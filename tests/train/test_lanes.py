"""Commands side by side: order within a lane, lines passed on, the first failure ends all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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
    assert printed.index("one met two") < printed.index(" | after one\n")


def test_a_failure_ends_all_lanes_with_its_status(as_python, capfd):
    failing = ["import sys; print('what is wrong', file=sys.stderr); sys.exit(2)"]
    with pytest.raises(SystemExit) as raised:
        lanes.run_lanes([[failing, ["print('never printed')"]], [["import time; time.sleep(600)"]]], threads=1)
    assert raised.value.code == 2
    printed = capfd.readouterr().out
    assert " | what is wrong\n" in printed and " | never printed\n" not in printed


def test_commands_have_their_share_of_threads(as_python, capfd):
    lanes.run_lanes([[["import os; print('threads', os.environ['OMP_NUM_THREADS'])"]]], threads=3)
    assert "| threads 3\n" in capfd.readouterr().out


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
    assert " | not ended\n" in printed and " | waited\n" in printed
    with pytest.raises(SystemExit):
        lanes.run_queue([["import sys; sys.exit(2)"]], 2)
    with pytest.raises(SystemExit):
        lanes.run_queue([["import sys; sys.exit(130)"]], 2, forgiving=True)


PARENT = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with SIGINT ignored
from sparsegpt2 import process
from train import lanes
start = lanes.subprocess.Popen
lanes.subprocess.Popen = lambda command, **more: start([sys.executable, "-u", "-c", *command[5:]], **more)
child = f'''
import os, signal, time
from pathlib import Path
from sparsegpt2.process import end_with_parent
here = Path({sys.argv[1]!r})
def save(number, frame):
    time.sleep(0.3)
    (here / f"saved-{{os.getpid()}}").touch()
    raise SystemExit(130)
signal.signal(signal.SIGTERM, save)
end_with_parent()
(here / f"began-{{os.getpid()}}").touch()
while True:
    time.sleep(0.01)
'''
with process.of_a_command([]):
    lanes.run_lanes([[[child]], [[child]]], threads=1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_children_save_and_end_however_their_parent_ends(tmp_path, number):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 60
    while len(list(tmp_path.glob("began-*"))) < 2:
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.02)
    parent.send_signal(number)
    parent.wait(timeout=30)
    if number != signal.SIGKILL:  # it waited for them
        assert len(list(tmp_path.glob("saved-*"))) == 2
    children = [int(path.name.split("-")[1]) for path in tmp_path.glob("began-*")]
    while any(os.path.exists(f"/proc/{child}") for child in children):
        assert time.monotonic() < until, "children live on"
        time.sleep(0.02)
    assert len(list(tmp_path.glob("saved-*"))) == 2


def test_lines_begin_with_the_name_of_their_command(as_python, capfd):
    running = lanes.Running(1, False)
    assert running.name(["train", "base.yaml", "--out", "runs/dense"]) == "train dense"
    assert running.name(["bench", "runs/dense", "--out", "runs"]) == "bench dense"
    assert running.name(["bench", "runs/dense", "--out", "runs"]) == "bench dense (2)"  # another of that name runs
    slow = """import sys, time
for part in ('whole', ' line', '\\n'):
    sys.stdout.write(part); sys.stdout.flush(); time.sleep(0.05)"""
    lanes.run_lanes([[[slow]], [[slow]]], threads=1)
    printed = [line for line in capfd.readouterr().out.splitlines() if line.endswith("whole line")]
    assert sorted(printed) == ["import (2) | whole line", "import | whole line"]


def test_a_name_is_free_again_when_its_command_has_ended(as_python, capfd):
    lanes.run_lanes([[["print('one')"], ["print('two')"]]], threads=1)
    printed = capfd.readouterr().out
    assert "print('one') | one\n" in printed and "(2)" not in printed
