"""Peak memory of a block of code: the RAM of the process (on Linux), or torch's allocations on a GPU."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """A context manager that measures the peak memory of the code inside it.

    After `with PeakMemory(device) as peak: ...`, `peak.megabytes` is the peak minus the memory in use at the start. It
    is None if the system does not report memory (neither Linux nor a GPU). On the CPU the resident memory of the whole
    process is measured, so thread pools and code that are loaded by a first call are included.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.cuda = torch.device(device).type == "cuda"
        self.megabytes: float | None = None

    def __enter__(self) -> PeakMemory:
        gc.collect()
        if self.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.before: float | None = torch.cuda.memory_allocated() / 1e6
        else:
            self.before = _reset_peak()
        return self

    def __exit__(self, *_error: object) -> None:
        if self.before is None:
            return
        peak = torch.cuda.max_memory_allocated() / 1e6 if self.cuda else _read("VmHWM")
        self.megabytes = None if peak is None else max(0.0, peak - self.before)


def _reset_peak() -> float | None:
    """Reset the process's record of its peak resident size. Returns the current size in MB, or None if that fails.

    Freed memory that the C library still holds is first returned to the system. Otherwise the measured code could reuse
    it, and the peak would be too low.
    """
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        CLEAR.write_text("5")
    except OSError:
        return None
    return _read("VmRSS")


def _read(field: str) -> float | None:
    try:
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    except (OSError, StopIteration):
        return None
    return int(line.split()[1]) / 1024
