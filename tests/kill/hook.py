"""Counts the file operations of a command and its children, and sends the one that does the n-th a signal before it.

The environment says what: KILL_LOG, a file that gets a letter for each operation; KILL_FOLDER, whose files count;
KILL_AT, the number of the operation (from 1; 0: none); KILL_SIGNAL.
"""

from __future__ import annotations

import os
import sys

LETTERS = {"os.rename": "r", "os.remove": "x", "os.mkdir": "m", "os.rmdir": "d", "os.truncate": "t", "os.chmod": "c"}
LETTERS |= {"os.symlink": "s", "open": "w", "fcntl.flock": "l", "fsync": "f", "write": "a"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def install() -> None:
    """Count from now on, in this process."""
    log = os.open(os.environ["KILL_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    folder, at = os.environ["KILL_FOLDER"], int(os.environ["KILL_AT"])
    number, here = int(os.environ["KILL_SIGNAL"]), os.getcwd()
    fsync, write = os.fsync, os.write

    def count(letter: str) -> None:
        write(log, letter.encode())
        if os.fstat(log).st_size == at:
            os.kill(os.getpid(), number)

    def inside(path: object) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.join(here, os.fspath(path)).startswith(folder)

    def audit(event: str, arguments: tuple) -> None:
        letter = LETTERS.get(event)
        if letter is None:
            return
        if event == "fcntl.flock" or (inside(arguments[0]) and (event != "open" or (arguments[2] or 0) & WRITES)):
            count(letter)

    def counted_fsync(descriptor: int) -> None:
        count(LETTERS["fsync"])
        fsync(descriptor)

    def torn_write(descriptor: int, data: bytes) -> int:
        """In two halves, so that a signal may fall into the middle of a line."""
        if not inside(os.readlink(f"/proc/self/fd/{descriptor}")):
            return write(descriptor, data)
        half = write(descriptor, data[: len(data) // 2])
        count(LETTERS["write"])
        return half + write(descriptor, data[half:])

    os.fsync, os.write = counted_fsync, torn_write
    sys.addaudithook(audit)
