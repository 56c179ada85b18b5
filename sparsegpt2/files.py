"""Write files and folders safely: readers never see half of one, a power loss destroys none, no others are deleted.

Everything is written under a temporary name, flushed to the disk, and renamed. The writer of a temporary file holds a
kernel lock (flock) on it. A temporary without a lock was left by a killed writer, and the next writer removes it.
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

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Temporary names under which files and folders are written."""
READS = 50
"""How many times a folder is read if writers keep replacing it in the meantime."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kind:
    """A kind of folder that this program writes, and how to recognise one."""

    what: str
    """Its name in messages, with an article: `a model`."""
    files: tuple[str, ...]
    """Names of all the files that it may hold; `*` matches any characters."""
    mark: str
    """The one file that it always holds."""
    signs: tuple[str, ...]
    """Texts that occur in every `mark`, but in no file of that name in another format."""

    def check(self, path: Path) -> None:
        """`UserError` unless `path` may be replaced: it does not exist, is an empty folder, or holds only this kind."""
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
    """Yield a temporary path to write to. If the block ends without an exception, it is renamed to `path`."""
    path = Path(path)
    make_folder(path.parent)
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

    `UserError`, before or after the block, if the folder at `path` is not of that kind; it is not changed then. A
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
        mode = temporary.stat().st_mode & 0o666  # follows the umask, which some writers of tensors ignore
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
    """Restore the old folder if a process died while `replacing_directory` swapped `path`. For writers only."""
    path = Path(path)
    previous = _previous(path)
    if not previous.exists():
        return
    if path.exists():
        shutil.rmtree(previous)
    else:
        os.replace(previous, path)


def clear_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` have left; the files of running writers are locked, and stay."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        _clear(leftover)


def clear_all_leftovers(folder: Path) -> None:
    """Remove what killed writers have left anywhere in `folder`, and end the swaps that they had begun."""
    for leftover in list(folder.rglob(".*.tmp")):
        _clear(leftover)
    for previous in list(folder.rglob(".*.previous")):
        end_swap(previous.with_name(previous.name[1:].removesuffix(".previous")))


def end_swap(path: Path) -> None:
    """End a swap of the folder `path` that a writer died in; one that lives is waited for."""
    with _swapping(path):
        recover_directory(path)


def make_folder(path: Path) -> None:
    """Make a folder and its parents, and flush them to the disk; `UserError` if a file is in the way."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    if not path.is_dir():
        raise UserError(f"{path} is a file; name a folder")
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def check_writable(path: Path) -> None:
    """Before long work: `UserError` if the file `path` could not be written at its end. Nothing is left behind."""
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
        if _lock(lock) and os.fstat(lock).st_nlink:  # else another writer has just removed it as a leftover
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
    """Take the lock of an open file; False if another process holds it.

    without: the result on a file system that has no locks.
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
    """Where the content of the folder `path` is: at `path`, or where a writer that died during the swap has put it.

    Nothing is moved, which only writers may do. If a writer is between its two renames, this waits up to `seconds`.
    """
    path = Path(path)
    until = time.monotonic() + seconds
    while not path.exists() and _previous(path).exists():
        if time.monotonic() > until:
            return _previous(path)
        time.sleep(0.002)
    return path


def read_settled(path: str | Path, read: Callable[[Path], Result]) -> Result:
    """`read(folder)` of the folder `path`; it is read again if a writer replaced the folder in the meantime.

    A folder that is missing is looked for until the last read: a writer may be between its two renames each time.
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
    """Numbers that change when another folder gets this name; None if there is no folder."""
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path, what: str = "file") -> Any:
    """The value in a JSON file; `UserError` if the file is missing or malformed. what: what it should be."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path} is not valid JSON ({error}); it may be truncated") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
