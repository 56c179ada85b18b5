"""What surrounds a command: signals, the process that started it, and what its machine refuses."""

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
"""Environment variable: the process whose end is this one's, too."""
NO_VERIFY = "--no_verify"
LOOK_EVERY = 0.1
"""Seconds between looks whether the parent lives."""

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EACCES: "name another place, or change its permissions",
    errno.EPERM: "name another place, or change its permissions",
    errno.EROFS: "name a place that can be written to",
    errno.EMFILE: "raise the limit on open files",
    errno.EEXIST: "name another place",
    errno.ENOTDIR: "name another place",
    errno.EISDIR: "name a file",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EIO: "look after that disk",
}
"""What to do about an error of the system."""


@contextmanager
def of_a_command(arguments: list[str]) -> Iterator[list[str]]:
    """Run a command inside: SIGTERM raises KeyboardInterrupt, so that whatever it holds is put down in order.

    Yields the arguments without the flag `--no_verify`, which every command takes. A command that another one started
    ends when that one does.
    """
    if NO_VERIFY in arguments:
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
    """The environment of a child that is to end with this process, however this one ends."""
    return {**environment, PARENT: str(os.getpid())}


def end_with_parent(parent: int | None = None) -> None:
    """End this process (SIGTERM, so that it saves) once its parent is gone: `parent`, or the one the environment says.

    A thread looks every tenth of a second: the kernel's own signal (PR_SET_PDEATHSIG) is bound to the thread that
    started the child, and lanes start children from threads.
    """
    named = os.environ.pop(PARENT, "")  # not for this process's own children
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
    """Turn what the machine refuses inside (disk, permission, memory, device) into a `UserError` of one sentence."""
    try:
        yield
    except Exception as error:
        sentence = told(error)
        if sentence is None:
            raise
        raise UserError(sentence) from error


def told(error: Exception) -> str | None:
    """An error of the environment in one sentence; None for any other error, which is this program's fault."""
    if isinstance(error, (BrokenPipeError, UserError)):
        return None
    if isinstance(error, OSError):
        return _system(error)
    text = " ".join(str(error).split())
    name = type(error).__name__
    if name == "SafetensorError":  # a Rust library's own words for an OSError
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
    return f"{where}{os.strerror(error.errno).lower()}{f'; {remedy}' if remedy else ''}; what was finished is kept"


def _of_a_device(text: str) -> bool:
    signs = ("CUDA error", "CUDA driver", "NVIDIA driver", "Torch not compiled with", "device type at start of device")
    return any(sign in text for sign in (*signs, "Invalid device", "invalid device ordinal", "CUDA-capable device"))
