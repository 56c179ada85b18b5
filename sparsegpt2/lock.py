"""Let only one process at a time write into a folder, by a kernel lock (flock).

The lock ends when the process that holds it ends, for whatever reason.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import clear_all_leftovers, inside, make_folder, sync

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""Errors of file systems that have no locks. There the user must make sure that only one process writes."""


@contextmanager
def locked(folder: str | Path, what: str) -> Iterator[None]:
    """Hold a lock on `folder`, so that no other process writes into it; `UserError` if another process holds the lock.

    The folder is created if it does not exist, and is removed at the end if it was created here and is still empty.
    Temporary files that killed writers left in it are removed. what: what the folder is, for messages, such as `run
    folder`.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the {what.split()[0]}")
    inside(folder, LOCK)
    with locked_file(folder / LOCK, f"{what} {folder}"):
        clear_all_leftovers(folder)
        yield


@contextmanager
def locked_file(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock on the file `path`; `UserError` if another process holds it. The file is removed at the end.

    what: what the lock protects, for messages. wait: do not raise the error, but print a line and wait for the other
    process. Folders that are created for the lock file are removed at the end if they are still empty.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    descriptor = _take(path, what, wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release, so that a process that waits for the lock opens a new file
        os.close(descriptor)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


@contextmanager
def appending(path: Path) -> Iterator[int]:
    """Open a file of lines for appending, and yield its descriptor. It is created if it does not exist.

    No other process appends to the file inside the block. If its last line has no line end, the writer of that line has
    died, because a running writer holds this lock. Such a line is cut off first.
    """
    import fcntl

    new = not inside(path.parent, path.name).exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        cut_torn_line(descriptor)
        yield descriptor
        os.fsync(descriptor)
        if new:
            sync(path.parent)
    finally:
        os.close(descriptor)


def cut_torn_line(descriptor: int) -> bool:
    """Cut off an unfinished last line, which is everything after the last line end. Returns whether there was one."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return False
    end = size
    while end > 0:
        start = max(0, end - 2**16)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            end = start + found + 1
            break
        end = start
    os.ftruncate(descriptor, end)
    os.fsync(descriptor)
    return True


def _take(path: Path, what: str, wait: bool) -> int:
    """Open and lock the lock file, and return its descriptor."""
    import fcntl

    told = False
    while True:
        try:
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # the process that held the lock has just removed the folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if not wait:
                raise UserError(
                    f"{what} is in use by {holder or 'another process'}; wait until it ends, or name another folder"
                ) from None
            if not told:
                print(f"waiting for {holder or 'another process'}, which is using {what}", file=sys.stderr, flush=True)
            told = True
            time.sleep(0.1)
            continue
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(descriptor)
                raise
        if _is(path, descriptor):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} on {os.uname().nodename}\n".encode(), 0)
            return descriptor
        os.close(descriptor)  # the process that held the lock removed the file after we opened it


def _is(path: Path, descriptor: int) -> bool:
    """Whether `path` still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
