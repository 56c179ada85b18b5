"""Which fast path can run here, and how the CPU's share its work among threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


class CpuKernels:
    """The modules whose loops numba compiles, imported together."""

    def __init__(self) -> None:
        from sparsegpt2.kernels.cpu import attention as cpu_attention
        from sparsegpt2.kernels.cpu import loss as cpu_loss
        from sparsegpt2.kernels.cpu import rows as cpu_rows
        from sparsegpt2.kernels.cpu import select as cpu_select
        from sparsegpt2.kernels.cpu import sparse as cpu_sparse
        from sparsegpt2.kernels.cpu import topk as cpu_topk

        self.attention, self.loss, self.rows, self.select = cpu_attention, cpu_loss, cpu_rows, cpu_select
        self.sparse, self.topk = cpu_sparse, cpu_topk


@functools.cache
def _numba_kernels() -> CpuKernels | None:
    try:
        return CpuKernels()
    except ImportError:
        return None


def cpu_kernels(tensor: Tensor) -> CpuKernels | None:
    """The numba loops, when `tensor` is on the CPU and numba is installed.

    Not with SPARSEGPT2_PLAIN, nor while Triton interprets its kernels on CPU tensors.
    """
    other = os.environ.get("SPARSEGPT2_PLAIN") or os.environ.get("TRITON_INTERPRET") == "1"
    if tensor.device.type != "cpu" or other:
        return None
    return _numba_kernels()


@functools.cache
def _triton_kernels() -> ModuleType | None:
    try:
        from sparsegpt2.kernels import gpu
    except ImportError:
        return None
    return gpu


def gpu_kernels(tensor: Tensor) -> ModuleType | None:
    """The Triton kernels, when `tensor` is on a CUDA device (or Triton interprets them), and Triton is installed."""
    usable = tensor.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return _triton_kernels() if usable and not os.environ.get("SPARSEGPT2_PLAIN") else None


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="kernel")


def over_rows(function: Callable[..., None], rows: int, *arguments: Any, grain: int = 1) -> None:
    """Call `function(start, stop, *arguments)` for ranges that cover `rows`, one for each of torch's CPU threads.

    The function must release Python's lock. Ranges begin at multiples of `grain`. Threads of our own instead of
    numba's: its OpenMP layer would change torch's number of threads, and `parallel=True` compiles slowly.
    """
    threads = torch.get_num_threads()
    step = -(-rows // (threads * grain)) * grain
    if step >= rows:
        function(0, rows, *arguments)
        return
    at_once([functools.partial(function, start, min(start + step, rows), *arguments) for start in range(0, rows, step)])


def at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Make all calls, which must release Python's lock, as many at a time as torch has CPU threads."""
    threads = torch.get_num_threads()
    if threads == 1 or len(calls) < 2:
        for call in calls:
            call()
        return
    for job in [_pool(threads).submit(call) for call in calls]:
        job.result()
