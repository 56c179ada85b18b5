"""Write files and folders safely: readers never see half of one, and a power loss or a wrong path destroys nothing.

Everything is written under a temporary name, flushed to the disk, and renamed. The writer of a temporary file holds a
kernel lock (flock) on it. A temporary file without a lock was left by a killed writer, and the next writer removes it.
A folder is replaced only if it holds nothing but what this program writes there.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from sparsegpt2.errors import UserError
from sparsegpt2.plain import parse_json, read_text

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Pattern of the temporary names under which files and folders are written."""
READS = 50
"""How many times the reading of a folder is tried while writers keep replacing the folder."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kind:
    """A kind of folder that this program writes, and how to recognise it."""

    what: str
    """The name of the kind in messages, with an article: `a model`."""
    files: tuple[str, ...]
    """Names of all the files that such a folder may hold; `*` matches any characters."""
    mark: str
    """The one file that such a folder always holds."""
    signs: tuple[str, ...]
    """Texts that the file `mark` of this kind always contains. A file of that name from another program lacks at least
    one of them."""

    def check(self, path: Path) -> None:
        """`UserError` unless a folder of this kind may be written to `path`, in place of what is there.

        It may if `path` does not exist, is an empty folder, or is a folder of this kind without other files.
        """
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link; name the folder itself, {path.resolve()}")
        if not path.exists():
            return
        if not path.is_dir():
            raise UserError(f"{path} is a file; name a folder for {self.what}")
        entries = sorted(path.iterdir())
        for entry in entries:
            own = entry.is_file() and not entry.is_symlink() and any(fnmatch(entry.name, name) for name in self.files)
            if not own:
                raise UserError(
                    f"{path} holds something other than {self.what} ({entry.name}), which would be deleted; "
                    "move that elsewhere, or name a new folder"
                )
        if entries and not self._marked(path / self.mark):
            raise UserError(f"{path} holds something other than {self.what}; name a new folder, or an empty one")

    def _marked(self, mark: Path) -> bool:
        try:
            text = mark.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        return all(sign in text for sign in self.signs)


# --- Writing --------------------------------------------------------------------------------------------------------


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path to write to. If the block ends without an exception, that file is renamed to `path`."""
    path = Path(path)
    make_folder(path.parent)
    if path.is_dir():  # also a link to a folder, which the rename would replace
        raise UserError(f"{path} is a folder; name a file")
    clear_leftovers(path)
    temporary, lock = _temporary(path, folder=False)
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        os.close(lock)
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_directory(path: str | Path, kind: Kind) -> Iterator[Path]:
    """Like `replacing`, for a whole folder of `kind`: readers see the complete old folder or the complete new one.

    `UserError`, before or after the block, if the folder at `path` is not of that kind; it is left unchanged then. A
    folder cannot be renamed over one that is not empty, so the old one is renamed first. If this process dies between
    the two renames, readers find the old folder under its other name (`settled`), and the next writer restores it.
    """
    path = Path(path)
    kind.check(path)
    make_folder(path.parent)
    clear_leftovers(path)
    end_swap(path)
    temporary, lock = _temporary(path, folder=True)
    try:
        yield temporary
        mode = temporary.stat().st_mode & 0o666  # follows the umask, which some tensor libraries ignore
        for file in temporary.iterdir():
            file.chmod(mode)
            sync(file)
        sync(temporary)
        with _swapping(path):
            recover_directory(path)
            kind.check(path)
            previous = _previous(path)
            if path.exists():
                os.replace(path, previous)
            os.replace(temporary, path)
            sync(path.parent)
            shutil.rmtree(previous, ignore_errors=True)
    finally:
        os.close(lock)
        shutil.rmtree(temporary, ignore_errors=True)


def recover_directory(path: str | Path) -> None:
    """Restore the old folder at `path` if a process died while `replacing_directory` swapped it with a new one.

    Only writers may call this.
    """
    path = Path(path)
    previous = _previous(path)
    if previous.is_symlink() or not previous.exists():  # a link is not what a swap leaves
        return
    if path.exists():
        shutil.rmtree(previous)
    else:
        os.replace(previous, path)


def clear_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` have left. The files of running writers are locked, and are not removed."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _clear(leftover)


def clear_all_leftovers(folder: Path) -> None:
    """Remove what killed writers have left anywhere in `folder`, and end the swaps of folders that they had begun."""
    for leftover in list(folder.rglob(".*.tmp")):
        _clear(leftover)
    for previous in list(folder.rglob(".*.previous")):
        end_swap(previous.with_name(previous.name[1:].removesuffix(".previous")))


def end_swap(path: Path) -> None:
    """End a swap of the folder `path` during which the writer died. If a writer is still swapping, wait for it."""
    with _swapping(path):
        recover_directory(path)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush them to the disk; `UserError` if a file is in the way."""
    missing = []
    while not path.exists():
        if path.is_symlink():
            raise UserError(f"{path} is a symbolic link to {os.readlink(path)}, which does not exist; name a folder")
        missing.append(path)
        path = path.parent
    if not path.is_dir():
        raise UserError(f"{path} is a file; name a folder")
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def inside(folder: str | Path, *names: str | Path) -> Path:
    """The path below `folder`, to write to; `UserError` if a part of it is a symbolic link, which could lead anywhere.

    `folder` itself may be one: it is what the user named.
    """
    path = Path(folder)
    for part in Path(*names).parts:
        path = path / part
        if path.is_symlink():
            raise UserError(
                f"{path} is a symbolic link, through which nothing is written; remove it, or name a new folder"
            )
    return path


def check_writable(path: Path) -> None:
    """Find out, before long work, whether its result can be written to the file `path`; `UserError` if not.

    Nothing is left behind.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file")
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; name a folder")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(4096))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None


def sync(path: Path) -> None:
    """Wait until the content of a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot flush folders
            raise
    finally:
        os.close(descriptor)


def _temporary(path: Path, *, folder: bool) -> tuple[Path, int]:
    """A new temporary file or folder for `path`, and the descriptor that holds its lock."""
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        if folder:
            temporary.mkdir()
            lock = os.open(temporary, os.O_RDONLY)
        else:
            lock = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(lock) and os.fstat(lock).st_nlink:  # if not, another writer has just removed it as a leftover
            return temporary, lock
        os.close(lock)


def _clear(leftover: Path) -> None:
    if leftover.is_symlink() or not TEMPORARY.fullmatch(leftover.name):
        return
    with suppress(OSError):
        lock = os.open(leftover, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if _lock(lock, without=False):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        finally:
            os.close(lock)


def _lock(descriptor: int, *, without: bool = True) -> bool:
    """Take the lock of an open file. Returns False if another process holds it.

    without: what to return on a file system that has no locks.
    """
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system has no locks
        return without
    return True


@contextmanager
def _swapping(path: Path) -> Iterator[None]:
    """Hold the lock of the parent folder during the renames, so that only one process swaps there at a time."""
    import fcntl

    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _previous(path: Path) -> Path:
    return path.with_name(f".{path.name}.previous")


# --- Reading --------------------------------------------------------------------------------------------------------


def settled(path: str | Path, seconds: float = 0.5) -> Path:
    """The path at which the folder `path` can be read.

    It is `path` itself, unless a writer died after it had renamed the folder; then it is the folder's new name.

    Nothing is moved, because only writers may do that. If a writer is between its two renames, this waits up to
    `seconds`.
    """
    path = Path(path)
    until = time.monotonic() + seconds
    while not path.exists() and _previous(path).exists():
        if time.monotonic() > until:
            return _previous(path)
        time.sleep(0.002)
    return path


def read_settled(path: str | Path, read: Callable[[Path], Result]) -> Result:
    """`read(folder)` for the folder `path`. It is called again if a writer replaced the folder in the meantime.

    If the folder is missing, it is looked for again, up to `READS` times: a writer may be between its two renames each
    time.
    """
    for left in reversed(range(READS)):
        folder = settled(path)
        before = _state(folder)
        try:
            result = read(folder)
        except (UserError, OSError):
            if _state(folder) == before and (before is not None or not left):
                raise
        else:
            if _state(folder) == before:
                return result
    raise UserError(f"{path} is replaced faster than it can be read; try again when its writer has finished")


def _state(folder: Path) -> tuple[int, ...] | None:
    """Numbers that change when the folder is replaced by another; None if there is no folder."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text to a file, which appears whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON to a file, which appears whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path, what: str = "file") -> Any:
    """The value in a JSON file; `UserError` if the file is missing or malformed. what: what it should be."""
    return parse_json(read_text(path, what), f"{what} {path}")
