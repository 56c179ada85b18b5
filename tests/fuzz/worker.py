"""Trying cases in processes of their own, with a limit of time for each case and of memory for all."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz.formats import FORMATS
from tests.fuzz.mutate import mutated

SECONDS = 5.0
"""Seconds of the processor that one case may take; it may also wait for no longer than `WAITING` in all."""
WAITING = 15.0
MEMORY = 2**30
"""Bytes that a process may allocate beyond what it had when it had read the valid files."""
LONGEST = 1200
"""Characters of a refusal, which must be one line."""
BATCH = 1000
"""Cases that one process tries."""


@dataclass(frozen=True)
class Case:
    """One file to try."""

    form: str
    """Name of its format."""
    name: str
    content: Callable[[list[bytes]], bytes | str]
    """Makes its content, as `mutated` does, from the contents of valid files."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

    form: str
    case: str
    result: str
    """accepted, refused or failed"""
    says: str = ""
    """The sentence of a refusal, or what is wrong with a failure, with its traceback."""
    seconds: float = 0.0


def case_of(name: str, number: int, seed: int, valid: list[bytes]) -> bytes | str:
    """The content of case `number` of a format; number -1 is the first valid file itself."""
    if number < 0:
        return valid[-1 - number]
    source = random.Random(f"{seed}/{name}/{number}")
    return mutated(source.choice(valid), FORMATS[name].kind, source)


# --- In the process of the cases --------------------------------------------------------------------------------------


def put(content: bytes | str, file: Path) -> None:
    """Put what a case is about in the place of the file."""
    if file.is_dir() and not file.is_symlink():
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "a folder":
        file.mkdir()
    elif content == "a pipe":
        os.mkfifo(file)
    else:
        file.symlink_to(file.name if content == "a link to itself" else "nothing")


def attempt(case: Case, room: Path, valid: list[bytes]) -> Outcome:
    """Read one case, and say what became of it."""
    from sparsegpt2.errors import UserError

    form = FORMATS[case.form]
    started = time.process_time()
    result, says = "accepted", ""
    try:
        put(case.content(valid), room / form.file)
        form.read(room, room / form.file)
    except UserError as error:
        result, says = "refused", str(error)
        wrong = _wrong_with(error)
        if wrong:
            result, says = "failed", f"{wrong}\n{traceback.format_exc()}"
    except BaseException as error:  # a panic of a Rust library is a BaseException
        says = f"{type(error).__name__}: {str(error)[:300]}\n{traceback.format_exc()}"
        result = "failed"
    return Outcome(case.form, case.name, result, says, time.process_time() - started)


def _wrong_with(error: BaseException) -> str:
    """Why a refusal is none after all; empty if it is one."""
    text = str(error)
    if len(text) > LONGEST or len(text.splitlines()) > 1:
        return f"a refusal must be one line of at most {LONGEST} characters"
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or "allocate memory" in str(seen):
            return "it tried to allocate more than 1 GB"
        seen = seen.__cause__ or seen.__context__
    return ""


def _work(room: Path, cases: Sequence[Case], out: Connection) -> None:
    """Send an outcome for each case, after those of the valid files and None."""
    os.chdir(room)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # end with the parent
    valid = {name: FORMATS[name].valid(room) for name in dict.fromkeys(case.form for case in cases)}
    for name, contents in valid.items():
        for place, content in enumerate(contents):
            first = attempt(
                Case(name, f"{name}: valid file {place}", lambda _, content=content: content), room, contents
            )
            if first.result != "accepted":
                out.send(replace(first, result="failed", says=f"a valid file was not accepted\n{first.says}"))
        put(contents[0], room / FORMATS[name].file)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    out.send(None)
    before = ""
    for case in cases:
        if before and case.form != before:  # other formats may read its file too
            put(valid[before][0], room / FORMATS[before].file)
        before = case.form
        out.send(attempt(case, room, valid[case.form]))
    out.close()


# --- In the process that counts ---------------------------------------------------------------------------------------


@dataclass
class _Running:
    process: Any
    inbox: Connection
    left: list[Case]
    """The cases without an outcome yet; the first is being tried."""
    room: Path
    since: float
    cpu: float = 0.0
    ready: bool = False

    def too_slow(self) -> str:
        """Why the case that is being tried has failed; empty while it has not."""
        waited, (state, used) = time.monotonic() - self.since, _state(self.process.pid)
        used -= self.cpu
        limit = SECONDS if self.ready else 120.0
        if state not in "SD":  # it could run, if other processes let it
            waited = 0.0
        if used > limit or waited > max(WAITING, limit):
            return f"it was not finished after {used:.1f} seconds of the processor, {waited:.1f} in all"
        return ""

    def receive(self) -> tuple[list[Outcome], bool]:
        """(the outcomes that have arrived, whether the process has ended)."""
        outcomes: list[Outcome] = []
        while self.inbox.poll():
            try:
                outcome = self.inbox.recv()
            except EOFError:
                return outcomes, True
            self.since, self.cpu = time.monotonic(), _state(self.process.pid)[1]
            if outcome is None:
                self.ready = True
                continue
            if self.ready:
                self.left.pop(0)
            outcomes.append(outcome)
        return outcomes, False

    def end(self) -> None:
        """End the process, if it has not ended, and remove its folder."""
        self.process.kill()
        self.process.join()
        self.inbox.close()
        shutil.rmtree(self.room, ignore_errors=True)


def _state(pid: int) -> tuple[str, float]:
    """(state of a process: R for running, S for sleeping and so on, seconds of the processor that it has used)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "R", 0.0
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(material: Path, cases: Sequence[Case], jobs: int) -> Iterator[Outcome]:
    """The outcome of every case, and of every valid file that was not accepted."""
    batches = [list(cases[at : at + BATCH]) for at in range(0, len(cases), BATCH)][::-1]
    running: list[_Running] = []
    rooms = (material.parent / f"room-{number}" for number in itertools.count())
    try:
        while batches or running:
            while batches and len(running) < jobs:
                running.append(_start(batches.pop(), material, next(rooms)))
            wait([one.inbox for one in running], 0.2)
            for one in list(running):
                outcomes, ended = one.receive()
                yield from outcomes
                why = "" if ended else one.too_slow()
                if ended or why:
                    running.remove(one)
                    one.end()
                    if one.left:
                        stuck = (
                            one.left.pop(0) if one.ready else Case(one.left[0].form, "the valid files", lambda _: b"")
                        )
                        why = why or f"its process ended with status {one.process.exitcode}"
                        yield Outcome(stuck.form, stuck.name, "failed", why)
                        if one.ready and one.left:
                            batches.append(one.left)
    finally:
        for one in running:
            one.end()


def _start(cases: list[Case], material: Path, room: Path) -> _Running:
    shutil.copytree(material, room, symlinks=True)
    context = multiprocessing.get_context("fork")
    inbox, outbox = context.Pipe(duplex=False)
    sys.stdout.flush()
    process = context.Process(target=_work, args=(room, tuple(cases), outbox), daemon=True)
    process.start()
    outbox.close()
    return _Running(process, inbox, cases, room, time.monotonic())
