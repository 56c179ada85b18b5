"""Trying cases in processes of their own, with a limit of time for each case and of memory for all."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz.formats import FORMATS, Format
from tests.fuzz.mutate import mutated

SECONDS = 5.0
"""Seconds of the processor that one case may take; it may also wait for no longer than `WAITING` in all."""
WAITING = 15.0
MEMORY = 2**30
"""Bytes that a process may allocate beyond what it had when it had read the valid files."""
LONGEST = 1200
"""Characters of a refusal, which must be one line."""
BATCH = 250
"""Cases that one process tries."""

Case = tuple[str, bytes | str]
"""(name, content of the file), the content as `mutated` gives it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one case."""

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


def attempt(form: Format, room: Path, name: str, content: bytes | str) -> Outcome:
    """Read one case, and say what became of it."""
    from sparsegpt2.errors import UserError

    started = time.process_time()
    result, says = "accepted", ""
    try:
        put(content, room / form.file)
        form.read(room, room / form.file)
    except UserError as error:
        result, says = "refused", str(error)
        wrong = _wrong_with(error)
        if wrong:
            result, says = "failed", f"{wrong}\n{traceback.format_exc()}"
    except BaseException as error:  # a panic of a Rust library is a BaseException
        says = f"{type(error).__name__}: {str(error)[:300]}\n{traceback.format_exc()}"
        result = "failed"
    return Outcome(name, result, says, time.process_time() - started)


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


def _work(name: str, room: Path, cases: Iterator[tuple[str, Callable[[list[bytes]], bytes | str]]], out: Connection) -> None:
    """Send an outcome for each case. cases: (name, what makes its content from the valid files)."""
    os.chdir(room)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    with contextlib.suppress(OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # end with the parent
    form = FORMATS[name]
    valid = form.valid(room)
    for place, content in enumerate(valid):
        first = attempt(form, room, f"{name}: valid file {place}", content)
        if first.result != "accepted":
            out.send(Outcome(first.case, "failed", f"a valid file was not accepted\n{first.says}"))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    out.send(None)  # ready
    for case, make in cases:
        out.send(attempt(form, room, case, make(valid)))
    out.close()


# --- In the process that counts ---------------------------------------------------------------------------------------


@dataclass
class _Running:
    process: Any
    inbox: Connection
    name: str
    left: list[tuple[str, Any]]
    """The cases without an outcome yet; the first is being tried."""
    room: Path
    since: float
    cpu: float = 0.0
    ready: bool = False

    def too_slow(self) -> str:
        """Why the case that is being tried has failed; empty while it has not."""
        waited, used = time.monotonic() - self.since, _processor_seconds(self.process.pid) - self.cpu
        limit = SECONDS if self.ready else 60.0
        if used > limit or waited > max(WAITING, limit):
            return f"it was not finished after {used:.1f} seconds of the processor, {waited:.1f} in all"
        return ""

    def next(self) -> None:
        self.since, self.cpu = time.monotonic(), _processor_seconds(self.process.pid)


def _processor_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(material: Path, work: list[tuple[str, list[tuple[str, Any]]]], jobs: int) -> Iterator[tuple[str, Outcome]]:
    """(format, outcome) of every case. work: (format, its cases as `_work` takes them)."""
    batches = [(name, cases[at : at + BATCH]) for name, cases in work for at in range(0, len(cases), BATCH)]
    batches.reverse()
    running: list[_Running] = []
    rooms = 0
    while batches or running:
        while batches and len(running) < jobs:
            name, cases = batches.pop()
            rooms += 1
            room = material.parent / f"room-{os.getpid()}-{rooms}"
            shutil.copytree(material, room, symlinks=True)
            running.append(_start(name, cases, room))
        wait([one.inbox for one in running], 0.2)
        for one in list(running):
            ended, why = False, ""
            while not ended and one.inbox.poll():
                try:
                    outcome = one.inbox.recv()
                except EOFError:
                    ended = True
                    break
                one.next()
                if outcome is None:
                    one.ready = True
                else:
                    if one.ready:
                        one.left.pop(0)
                    yield one.name, outcome
            if not ended:
                why = one.too_slow()
            if ended or why:
                running.remove(one)
                one.process.kill()
                one.process.join()
                one.inbox.close()
                shutil.rmtree(one.room, ignore_errors=True)
                if one.left:
                    case = one.left[0][0] if one.ready else f"{one.name}: the valid files"
                    status = one.process.exitcode
                    yield one.name, Outcome(case, "failed", why or f"the process ended with status {status}")
                    if one.ready and one.left[1:]:
                        batches.append((one.name, one.left[1:]))


def _start(name: str, cases: list[tuple[str, Any]], room: Path) -> _Running:
    context = multiprocessing.get_context("fork")
    inbox, outbox = context.Pipe(duplex=False)
    sys.stdout.flush()
    process = context.Process(target=_work, args=(name, room, iter(list(cases)), outbox), daemon=True)
    process.start()
    outbox.close()
    return _Running(process, inbox, name, list(cases), room, time.monotonic())
