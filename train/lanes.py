"""Commands that run at the same time: with small models, one core for each run is faster than all cores for one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from threading import Lock, Thread

from sparsegpt2.process import with_parent
from sparsegpt2.settings import USER_MISTAKE
from sparsegpt2.siblings import command_line, environment

Lane = Iterable[Sequence[str]]
"""Commands that run one after the other, each as arguments of `sparsegpt2`."""


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_queue(commands: Iterable[Sequence[str]], lanes: int, *, forgiving: bool = False) -> None:
    """Run `commands` in order, `lanes` of them at the same time, with an equal share of the cores for each.

    forgiving: as in `run_lanes`.
    """
    queue = iter(list(commands))  # several threads may share a list's iterator, but not a generator
    run_lanes([queue] * lanes, max(1, usable_cores() // lanes), forgiving=forgiving)


def run_lanes(lanes: Sequence[Lane], threads: int, *, forgiving: bool = False) -> None:
    """Run the lanes at the same time, each command as a process with `threads` threads.

    The output of a command is printed in whole lines that begin with its name, such as `train dense | `.

    No command outlives this process. If this process is interrupted or gets SIGTERM, it asks each command to save, and
    waits until all have ended. If this process is killed, the commands notice it, save and end. When a command fails,
    all others are ended, and the status of the command that failed is raised as SystemExit.

    forgiving: if a command ends with a user's mistake, the others continue.
    """
    running = Running(threads, forgiving)
    followers = [Thread(target=running.follow, args=(lane,), daemon=True) for lane in lanes]
    try:
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()
    finally:
        running.end()
        for process in running.processes:
            process.wait()
        for follower in followers:
            if follower.ident is not None:
                follower.join()
    if running.status:
        raise SystemExit(running.status)


class Running:
    """The processes of all lanes."""

    def __init__(self, threads: int, forgiving: bool) -> None:
        self.forgiven = USER_MISTAKE if forgiving else 0
        self.environment = with_parent(environment() | {"OMP_NUM_THREADS": str(threads)})
        self.processes: list[subprocess.Popen[str]] = []
        self.starting = Lock()
        self.over = False
        self.status = 0
        self.names: set[str] = set()
        """Names of the commands that are running."""
        self.lock = Lock()

    def name(self, arguments: Sequence[str]) -> str:
        """The name at the start of a command's output lines. If a running command has that name, a number is added."""
        places = [arguments[at + 1] for at, flag in enumerate(arguments[:-1]) if flag == "--out"]
        of = places if arguments[0] == "train" else arguments[1:2]
        plain = " ".join([arguments[0].split()[0], *(os.path.basename(path) for path in of)])
        with self.lock:
            numbered = (f"{plain} ({number})" for number in itertools.count(2))
            name = next(one for one in itertools.chain([plain], numbered) if one not in self.names)
            self.names.add(name)
        return name

    def follow(self, lane: Lane) -> None:
        """Run the commands of one lane and print their output."""
        for arguments in lane:
            started = self.start(arguments)
            if started is None:
                return
            name, process = started
            assert process.stdout is not None
            for line in process.stdout:
                sys.stdout.write(f"{name} | {line.rstrip()}\n")  # in one write, so that lines of two lanes do not mix
                sys.stdout.flush()
            self.names.discard(name)
            if process.wait() not in (0, self.forgiven):
                self.status = self.status or process.returncode
                self.end()

    def start(self, arguments: Sequence[str]) -> tuple[str, subprocess.Popen[str]] | None:
        """Start one command; its name and its process, or None if `end` was called."""
        with self.starting:  # so that `end` does not miss a command that is just being started
            if self.over:
                return None
            name = self.name(arguments)
            print(f"{name} | $ sparsegpt2 {' '.join(arguments)}", flush=True)
            process = subprocess.Popen(
                command_line(arguments),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=self.environment,
            )
            self.processes.append(process)
            return name, process

    def end(self) -> None:
        """Start no more commands, and ask those that are running to save and end."""
        with self.starting:
            self.over = True
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
