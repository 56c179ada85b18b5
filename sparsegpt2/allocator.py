"""The C library's allocator, told to keep what one step frees for the next step, which wants as much again.

By itself glibc gives large freed blocks back to the system, which hands out fresh pages, zeroed one fault at a time,
at every step: at width 768 a tenth of a step's processor time.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENAS = -1, -3, -8  # names of settings in malloc.h
MOST = 32 << 20  # glibc takes no larger threshold; larger blocks go back to the system as before


def keep_freed_memory() -> bool:
    """Keep freed memory in this process from now on; False where the C library is another, and nothing is done."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_to = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([set_to(ARENAS, 1), set_to(MMAP_THRESHOLD, MOST), set_to(TRIM_THRESHOLD, 2**31 - 1)])
