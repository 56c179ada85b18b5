"""Find out which fast paths can run on this machine, and divide the work of those on the CPU among threads."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


class CpuKernels:
    """The modules with the loops that numba compiles. All are imported at once."""

    def __init__(self) -> None:
        from sparsegpt2.kernels.cpu import attention as cpu_attention
        from sparsegpt2.kernels.cpu import loss as cpu_loss
        from sparsegpt2.kernels.cpu import rows as cpu_rows
        from sparsegpt2.kernels.cpu import select as cpu_select
        from sparsegpt2.kernels.cpu import sparse as cpu_sparse
        from sparsegpt2.kernels.cpu import topk as cpu_topk

        self.attention, self.loss, self.rows, self.select = cpu_attention, cpu_loss, cpu_rows, cpu_select
        self.sparse, self.topk = cpu_sparse, cpu_topk


class Loops:
    """The compiled loops for the CPU, if they can be used on this machine.

    They are divided into parts, such as `attention`. A part is compiled when it is first used. This fails if numba is
    missing or too new, if LLVM fails, or if no folder for the compiled code is writable. Plain torch then does the work
    of that part, and the process warns once. All loops of a part, including those of the backward pass, are tried
    before its first use, so that none fails during a training step.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.works: dict[str, bool] = {}
        self.trying: set[str] = set()
        self.warned = False

    @functools.cached_property
    def modules(self) -> CpuKernels | None:
        """The modules of the loops; None if they cannot be imported."""
        try:
            return CpuKernels()
        except Exception as error:  # any failure in numba or LLVM: plain torch can do the work
            self.warn(error)
            return None

    def usable(self, part: str) -> bool:
        """Whether `part` (a key of `TRIALS`) works here. One thread tries it, at the first call."""
        if part in self.works:
            return self.works[part]
        with self.lock:
            if part not in self.works and part not in self.trying:  # the trial itself calls this for its own part
                self.works[part] = self._try(part)
            return self.works.get(part, True)

    def _try(self, part: str) -> bool:
        self.trying.add(part)
        try:
            with torch.inference_mode(False), torch.enable_grad():
                TRIALS[part]()
        except Exception as error:
            self.warn(error)
            return False
        finally:
            self.trying.discard(part)
        return True

    def warn(self, error: Exception) -> None:
        """Warn, once in a process, that plain torch does the work of compiled loops, and why."""
        if self.warned:
            return
        self.warned = True
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        hint = "; set NUMBA_CACHE_DIR to a folder that is writable" if "cannot cache" in reason else ""
        warnings.warn(
            f"compiled CPU loops cannot be used here ({reason[:200]}{hint}), so plain torch does their work, "
            "several times slower",
            RuntimeWarning,
            stacklevel=2,
        )


LOOPS = Loops()
TRIALS: dict[str, Callable[[], None]] = {}
"""Part -> a function that calls each of its loops once, forward and backward, on a few numbers."""


def trial(part: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Decorator that registers the function that tries the loops of `part`.

    The function must use CPU tensors and no random numbers.
    """

    def register(function: Callable[[], None]) -> Callable[[], None]:
        TRIALS[part] = function
        return function

    return register


def cpu_kernels(tensor: Tensor, *parts: str) -> CpuKernels | None:
    """The numba loops if `tensor` is on the CPU and all `parts` (keys of `TRIALS`) work here, else None.

    Also None if one of two environment variables is set: SPARSEGPT2_PLAIN, which turns fast paths off, or
    TRITON_INTERPRET=1, with which Triton's kernels run on CPU tensors.
    """
    other = os.environ.get("SPARSEGPT2_PLAIN") or os.environ.get("TRITON_INTERPRET") == "1"
    if tensor.device.type != "cpu" or other:
        return None
    kernels = LOOPS.modules
    return kernels if kernels is not None and all(map(LOOPS.usable, parts)) else None


@functools.cache
def _triton_kernels() -> ModuleType | None:
    try:
        from sparsegpt2.kernels import gpu
    except ImportError:
        return None
    return gpu


def gpu_kernels(tensor: Tensor) -> ModuleType | None:
    """The Triton kernels if Triton is installed and `tensor` is on a CUDA device, else None.

    With TRITON_INTERPRET=1 they run on CPU tensors too. None if SPARSEGPT2_PLAIN is set.
    """
    usable = tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return _triton_kernels() if usable and not os.environ.get("SPARSEGPT2_PLAIN") else None


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def over_rows(function: Callable[..., None], rows: int, *arguments: Any, grain: int = 1) -> None:
    """Call `function(start, stop, *arguments)` for ranges that together cover 0 to `rows`, in several threads.

    There are as many ranges as torch has CPU threads, or fewer. The function must release Python's global lock. Ranges
    begin at multiples of `grain`. The threads are our own and not numba's: numba's OpenMP layer would change torch's
    number of threads, and `parallel=True` compiles slowly.
    """
    threads = torch.get_num_threads()
    step = -(-rows // (threads * grain)) * grain
    if step >= rows:
        function(0, rows, *arguments)
        return
    at_once([functools.partial(function, start, min(start + step, rows), *arguments) for start in range(0, rows, step)])


def at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Make all calls, as many at a time as torch has CPU threads. The calls must release Python's global lock."""
    threads = torch.get_num_threads()
    if threads == 1 or len(calls) < 2:
        for call in calls:
            call()
        return
    for job in [_pool(threads).submit(call) for call in calls]:
        job.result()
