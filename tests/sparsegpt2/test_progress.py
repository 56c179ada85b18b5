"""Progress in a pipe, in a terminal (a pseudo-terminal) and in a notebook (a stand-in for its display)."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from types import SimpleNamespace

import pytest

from sparsegpt2 import progress
from sparsegpt2.progress import ProgressDisplay, duration

WORK = """
import sys, time
from sparsegpt2.progress import ProgressDisplay
with ProgressDisplay("work", every=0.2) as show:
    for done in range(21):
        show(done, 20, "a [bold]part[/bold]")
        if done == 10:
            show.line("half [red]way[/red]")
        time.sleep(0.05)
print("over")
"""


def test_a_pipe_gets_whole_lines_now_and_then():
    said = subprocess.run([sys.executable, "-c", WORK], text=True, capture_output=True, check=True)
    assert said.stdout == "half [red]way[/red]\nover\n"
    lines = said.stderr.splitlines()
    assert 2 <= len(lines) <= 6 and said.stderr.endswith("\n")
    assert all(line.startswith("work: ") and "\r" not in line and "\x1b" not in line for line in lines)
    assert "%" in lines[0] and "[bold]part[/bold]" in lines[0] and " left" in lines[-2]
    assert lines[-1].startswith("work: finished in ")


def in_a_terminal(code: str, columns: int = 100) -> str:
    """What a terminal is sent, of both streams."""
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(columns), "LINES": "30"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=follower, stderr=follower, stdin=follower, env=environment
    )
    os.close(follower)
    sent = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        sent += part
    process.wait()
    os.close(leader)
    assert process.returncode == 0
    return sent.decode()


def test_a_terminal_gets_a_bar_that_leaves_only_the_lines():
    sent = in_a_terminal(WORK)
    assert "━" in sent and " left" in sent and "work: a [bold]part[/bold]" in sent
    assert "half [red]way[/red]\r\n" in sent and sent.rstrip().endswith("over")
    assert "finished in" not in sent


def test_a_narrow_terminal_shortens_the_text_alone():
    sent = in_a_terminal(WORK.replace("a [bold]part[/bold]", "a part with a name that is longer than the line"), 50)
    assert "100%" in sent and " s left" in sent and "…" in sent and "longer" not in sent


def test_what_is_printed_into_a_pipe_stays_there_when_the_bar_is_on_a_terminal(tmp_path):
    code = f"import sys; sys.stdout = open({str(tmp_path / 'out')!r}, 'w')\n{WORK}"
    assert "over" not in in_a_terminal(code)
    assert (tmp_path / "out").read_text() == "half [red]way[/red]\nover\n"


def test_a_notebook_gets_one_line_that_is_written_over(monkeypatch, capsys):
    class ZMQInteractiveShell:
        pass

    shown: list[str] = []
    handle = SimpleNamespace(update=lambda content, raw: shown.append(content["text/plain"]))

    def display(content, raw, display_id):
        shown.append(content["text/plain"])
        return handle

    ipython = SimpleNamespace(get_ipython=ZMQInteractiveShell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    with ProgressDisplay("work") as show:
        for done in range(5):
            show(done, 4, "part")
        show.line("a line")
    assert capsys.readouterr() == ("a line\n", "")
    assert shown[0].endswith("work: part") and shown[-1].startswith("work: finished in ") and len(shown) <= 3


def test_an_error_is_not_said_to_be_finished(capsys):
    with pytest.raises(ValueError), ProgressDisplay("work") as show:
        show(1, 2, "part")
        raise ValueError
    assert capsys.readouterr() == ("", "")


def test_without_display_nothing_is_shown(capsys):
    with ProgressDisplay("work", enabled=False) as show:
        show(1, 2, "part")
        show.line("a line")
    assert capsys.readouterr() == ("", "")


def test_time_left_is_that_of_the_part(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    show = ProgressDisplay("work")
    left: list[str] = []
    monkeypatch.setattr(show, "place", SimpleNamespace(show=lambda text, share, rest: left.append(rest)))
    for seconds, done, total in [(0, 0, 10), (10, 1, 10), (20, 2, 10), (30, 0, 4), (40, 1, 4), (50, 4, 4)]:
        now[0] = float(seconds)
        show(done, total, "")
    assert left == ["", "2 min left", "80 s left", "", "30 s left", ""]


def test_durations_are_short():
    assert [duration(seconds) for seconds in (45, 720, 12_000)] == ["45 s", "12 min", "3 h 20 min"]
