"""Commands side by side: small models use a core each better than all cores together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from threading import Event, Thread

Lane = Sequence[Sequence[str]]
"""Commands, each as arguments of `sparsegpt2`, that run one after the other."""


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_lanes(lanes: Sequence[Lane]) -> None:
    """Run the lanes at the same time, each command as a process whose lines are passed on.

    The first command that fails ends all; its status is raised as SystemExit, after its own message.
    """
    running = Running()
    threads = [Thread(target=running.follow, args=(lane,), daemon=True) for lane in lanes]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        running.end()
    if running.status:
        raise SystemExit(running.status)


class Running:
    """The processes of all lanes."""

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[str]] = []
        self.over = Event()
        self.status = 0

    def follow(self, lane: Lane) -> None:
        """Run one lane."""
        for arguments in lane:
            if self.over.is_set():
                return
            print(f"\n$ sparsegpt2 {' '.join(arguments)}", flush=True)
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "sparsegpt2.cli", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self.processes.append(process)
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
            if process.wait():
                self.status = self.status or process.returncode
                self.end()

    def end(self) -> None:
        """Start nothing more, and ask what still runs to save and leave."""
        self.over.set()
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
