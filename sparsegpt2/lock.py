"""One writer a folder: a lock of the kernel (flock), which ends with the process that holds it, however it ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import clear_all_leftovers, make_folder, sync

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
"""What file systems say that have no locks; there the user must see to it that one process writes."""


@contextmanager
def locked(folder: str | Path, what: str) -> Iterator[None]:
    """Hold `folder` as its only writer, making it where it is not there; `UserError` when another process holds it.

    what: as a sentence names the folder, such as `run folder`. What killed writers left inside is removed; a folder
    that was made here and stayed empty is removed in the end.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder for the {what.split()[0]}")
    with locked_file(folder / LOCK, f"{what} {folder}"):
        clear_all_leftovers(folder)
        yield


@contextmanager
def locked_file(path: Path, what: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock file `path`, which is there as long as somebody does; `UserError` when another process holds it.

    wait: wait for it instead, after a line that says so. Folders made for it are removed if they stayed empty.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    descriptor = _take(path, what, wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held: whoever opened it before looks again
        os.close(descriptor)
        with suppress(OSError):
            for folder in made:
                folder.rmdir()


@contextmanager
def appending(path: Path) -> Iterator[int]:
    """The descriptor of a file of lines, made if it is not there, to which nobody else appends meanwhile.

    A last line without its end was torn by a writer that died, since living ones hold this lock; it is cut off first.
    """
    import fcntl

    new = not path.exists()
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
    """Cut off what stands behind the last end of line of an open file; whether there was anything."""
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
    """The descriptor of the lock file, locked."""
    import fcntl

    told = False
    while True:
        try:
            make_folder(path.parent)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except FileNotFoundError:  # who held it removed the folder
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
            os.close(descriptor)
            if not wait:
                raise UserError(
                    f"{what} is in use by {holder or 'another process'}; wait until that ends, or name another folder"
                ) from None
            if not told:
                print(f"waiting for {holder or 'another process'}, which writes {what}", file=sys.stderr, flush=True)
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
        os.close(descriptor)  # removed by its holder between our opening and our locking it


def _is(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one of that name."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
