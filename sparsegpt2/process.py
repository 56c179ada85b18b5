"""How a command deals with its surroundings: signals, the process that started it, and errors of the machine."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sparsegpt2 import checksum
from sparsegpt2.errors import UserError

PARENT = "SPARSEGPT2_PARENT"
"""Environment variable with the id of the parent process. A command that finds it ends when that process ends."""
NO_VERIFY = "--no_verify"
UNVERIFIED = "SPARSEGPT2_NO_VERIFY"
"""Environment variable that passes the flag `--no_verify` on to child processes."""
LOOK_EVERY = 0.1
"""Seconds between two checks whether the parent is still running."""

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space in your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: "name another place, or change its permissions",
    errno.EPERM: "name another place, or change its permissions",
    errno.EROFS: "name a place that can be written to",
    errno.EMFILE: "raise the limit on open files",
    errno.EEXIST: "name another place",
    errno.ENOTDIR: "name another place",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EIO: "check the disk",
}
"""Error number of the operating system -> what the user can do about it."""


@contextmanager
def of_a_command(arguments: list[str]) -> Iterator[list[str]]:
    """Run a command inside the block. SIGTERM raises KeyboardInterrupt, so that the command can save and clean up.

    Yields the arguments without the flag `--no_verify`, which every command accepts. A command that was started by
    another command ends when that one ends.
    """
    if NO_VERIFY in arguments or os.environ.get(UNVERIFIED):
        checksum.skip()
    end_with_parent()
    earlier: Any = None
    if threading.current_thread() is threading.main_thread():
        earlier = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield [argument for argument in arguments if argument != NO_VERIFY]
    finally:
        if earlier is not None:
            signal.signal(signal.SIGTERM, earlier)


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def with_parent(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process that must end when this process ends, for whatever reason.

    The child checks files if and only if this process does.
    """
    unverified = {UNVERIFIED: "1"} if checksum.skipped() else {}
    return {**environment, **unverified, PARENT: str(os.getpid())}


def end_with_parent(parent: int | None = None) -> None:
    """End this process when its parent process ends, with SIGTERM, so that it saves its work first.

    parent: id of the parent process; by default the one in the environment variable `PARENT`. A thread checks every
    tenth of a second. The kernel has a signal for this purpose (PR_SET_PDEATHSIG), but it is sent when the thread that
    started the child ends, and some commands start others from a thread.
    """
    named = os.environ.pop(PARENT, "")  # removed, so that child processes do not inherit it
    parent = parent or (int(named) if named.isdigit() else 0)
    if not parent:
        return

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


@contextmanager
def in_one_sentence() -> Iterator[None]:
    """Turn errors of the machine inside the block (disk, permissions, RAM, device) into a `UserError`."""
    try:
        yield
    except Exception as error:
        sentence = told(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def told(error: Exception) -> str | None:
    """One sentence about an error of the machine (disk, permissions, RAM, device); None for any other exception."""
    if isinstance(error, (BrokenPipeError, UserError)):
        return None
    if isinstance(error, OSError):
        return _system(error)
    text = " ".join(str(error).split())
    name = type(error).__name__
    if name == "SafetensorError":  # a Rust library, which reports an OSError as text, with the number at the end
        number = int(code) if (code := text.rpartition("(os error ")[2].rstrip(")")).isdigit() else 0
        return _system(OSError(number, os.strerror(number))) if number else None
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "can't allocate memory" in text:
        return f"memory ran out ({text[:150] or name}); use smaller batches or a smaller model, or another device"
    if isinstance(error, (RuntimeError, AssertionError)) and _of_a_device(text):
        return f"the device cannot be used: {text.split(' CUDA kernel errors')[0][:200]}"
    return None


def _system(error: OSError) -> str | None:
    if error.errno is None:
        return None
    remedy = REMEDIES.get(error.errno)
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f"{' and '.join(names)}: " if names else ""
    return f"{where}{os.strerror(error.errno).lower()}{f'; {remedy}' if remedy else ''}; finished work is kept"


def _of_a_device(text: str) -> bool:
    signs = ("CUDA error", "CUDA driver", "NVIDIA driver", "Torch not compiled with", "device type at start of device")
    return any(sign in text for sign in (*signs, "Invalid device", "invalid device ordinal", "CUDA-capable device"))
