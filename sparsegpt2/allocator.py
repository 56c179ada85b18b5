"""Make the C library keep freed memory (RAM), because the next training step needs the same amount again.

By default glibc returns large freed blocks to the system. The next step then gets fresh pages, which the system fills
with zeros, with one page fault for each page. At width 768 this takes a tenth of a step's CPU time.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENAS = -1, -3, -8  # names of settings in malloc.h
MOST = 32 << 20  # the largest threshold that glibc accepts; larger blocks still go back to the system


def keep_freed_memory() -> bool:
    """Make this process keep freed memory from now on. Without glibc this does nothing and returns False."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_to = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return all([set_to(ARENAS, 1), set_to(MMAP_THRESHOLD, MOST), set_to(TRIM_THRESHOLD, 2**31 - 1)])
