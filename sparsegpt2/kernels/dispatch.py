"""Which fast path can run here."""

from __future__ import annotations

import functools
import os
from types import ModuleType

from torch import Tensor


@functools.cache
def _numba_loops() -> ModuleType | None:
    try:
        from sparsegpt2.kernels import cpu
    except ImportError:
        return None
    return cpu


def cpu_loops(tensor: Tensor) -> ModuleType | None:
    """The numba loops, when `tensor` is on the CPU, numba is installed and SPARSEGPT2_PLAIN is not set."""
    if tensor.device.type != "cpu" or os.environ.get("SPARSEGPT2_PLAIN"):
        return None
    loops = _numba_loops()
    if loops is not None:
        loops.match_threads()
    return loops
