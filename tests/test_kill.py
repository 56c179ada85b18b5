"""A dozen kills; `python -m tests.kill --cases 100` does any number, of every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_commands_killed_anywhere_end_as_if_they_never_were():
    command = [sys.executable, "-m", "tests.kill", "--cases", "12", "--work", "train,bench,prune"]
    process = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=600)
    assert process.returncode == 0, process.stdout + process.stderr
    assert '"cases": 12, "failed": 0' in process.stdout
