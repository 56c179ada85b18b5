"""Peak memory of a piece of work: the process's RAM on Linux, or torch's allocations on a GPU."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """`with PeakMemory(device) as peak: ...`, then `peak.megabytes`: the peak above the memory in use before.

    None if the system does not report it (neither Linux nor a GPU). On the CPU it is the resident memory of the whole
    process, so whatever a first call loads (thread pools, code) is included.
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
    """Reset the process's record of its peak resident size to the present size, which is returned in MB.

    Freed memory that the C library still holds is first returned to the system. Otherwise the work could reuse it, and
    its own needs would not show.
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
