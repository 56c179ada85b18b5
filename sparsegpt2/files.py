"""Writing files and folders: a reader never sees half of one, a power loss loses none, and nothing foreign is deleted.

Everything is written under a temporary name, flushed to the disk, and renamed. A temporary carries a lock of the kernel
(flock) while its writer lives; so the next writer of the same name knows what a killed one has left, and removes it.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
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
"""Names under which files and folders are written."""
READS = 50
"""How often a folder is read again when a writer replaced it meanwhile."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Kind:
    """A kind of folder that this program writes, and how it tells one from a folder of somebody else."""

    what: str
    """As a sentence names it: `a model`."""
    files: tuple[str, ...]
    """Every file that it may hold; `*` stands for any letters."""
    mark: str
    """The one of them that is always there."""
    signs: tuple[str, ...]
    """Texts that the mark always contains, and no file of the same name of another format does."""

    def check(self, path: Path) -> None:
        """`UserError` unless `path` may be replaced: it is not there, an empty folder, or wholly of this kind."""
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
    """Yield a temporary sibling of `path`; when the block ends well, it takes the name `path` in one rename."""
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
    """Like `replacing`, for a whole folder of `kind`: readers see the old one or the new one, complete.

    A folder that is not wholly of that kind is left alone (`UserError`), before and after the block. A folder cannot be
    renamed over one that is not empty, so the old one steps aside first; the next writer puts it back if this one dies
    between the two renames, and readers look there (`settled`).
    """
    path = Path(path)
    kind.check(path)
    make_folder(path.parent)
    clear_leftovers(path)
    end_swap(path)
    temporary, lock = _temporary(path, folder=True)
    try:
        yield temporary
        mode = temporary.stat().st_mode & 0o666  # by the umask, which some writers of tensors do not heed
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
    """If a process died while `replacing_directory` swapped `path`, put the complete old folder back: writers only."""
    path = Path(path)
    previous = _previous(path)
    if not previous.exists():
        return
    if path.exists():
        shutil.rmtree(previous)
    else:
        os.replace(previous, path)


def clear_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` have left beside it; what a living one writes is locked, and stays."""
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
    """Make a folder and those above it, so that they outlast a power loss; `UserError` where a file is in the way."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    if not path.is_dir():
        raise UserError(f"{path} is a file; name a folder")
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot do this for folders
            raise
    finally:
        os.close(descriptor)


def _temporary(path: Path, *, folder: bool) -> tuple[Path, int]:
    """A new temporary of `path` and the descriptor that holds its lock."""
    while True:
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
        if folder:
            temporary.mkdir()
            lock = os.open(temporary, os.O_RDONLY)
        else:
            lock = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if _lock(lock) and os.fstat(lock).st_nlink:  # else another writer took it for a leftover
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
    """Take the lock of an open file unless another holds it; `without`: the answer where there are no locks."""
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return without
    return True


@contextmanager
def _swapping(path: Path) -> Iterator[None]:
    """One swap at a time in a folder: for the moment of the renames its own lock is held."""
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
    """Where the content of the folder `path` is: there, or set aside by a writer that died while it swapped it.

    Nothing is moved: only writers do that. Between a living writer's two renames this waits, for `seconds` at most.
    """
    path = Path(path)
    until = time.monotonic() + seconds
    while not path.exists() and _previous(path).exists():
        if time.monotonic() > until:
            return _previous(path)
        time.sleep(0.002)
    return path


def read_settled(path: str | Path, read: Callable[[Path], Result]) -> Result:
    """`read(folder)` of one state of the folder `path`: read again where a writer replaced it meanwhile."""
    for _ in range(READS):
        folder = settled(path)
        before = _state(folder)
        try:
            result = read(folder)
        except (UserError, OSError):
            if _state(folder) == before:
                raise
        else:
            if _state(folder) == before:
                return result
    raise UserError(f"{path} is replaced faster than it can be read; try again when its writer rests")


def _state(folder: Path) -> tuple[int, ...] | None:
    """What changes when another folder takes this one's name."""
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
    """Read JSON; a missing or malformed file is a `UserError` that names it and says what it should be."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{what} {path} is not valid JSON ({error}); it may be truncated") from None
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
