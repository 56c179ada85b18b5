"""Peak memory of a piece of work: of the process on Linux, of torch's allocator on a GPU."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """`with PeakMemory(device) as peak: ...`, then `peak.megabytes`: the most held beyond what was held before.

    None where the system does not tell (no Linux, no GPU). On the CPU it is resident memory of the whole process, so
    what a first call loads (thread pools, code) is part of it.
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
    """Set the process's record of its largest resident size back to the present one, which is returned in MB.

    What the C library holds of memory that was freed goes back first, or work done earlier would hide this one's needs.
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
