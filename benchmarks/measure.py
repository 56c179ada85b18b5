"""Timing, peak rates and a description of the machine, for all sections."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Settings of the measurements, passed to every section."""

    device: torch.device
    """Device to measure."""
    repeats: int
    """Number of interleaved runs of whatever is compared; medians are reported."""
    quick: bool
    """Use fewer and smaller shapes, for a first look."""
    models: tuple[str, ...] = ()
    """Paths of trained models, for sections that need them."""

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"


def seconds_once(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds that one call takes; with one CPU thread processor time, which other programs disturb least."""
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def interleaved(bench: Bench, functions: Mapping[str, Callable[[], Any]]) -> dict[str, float]:
    """Median seconds of each function over `repeats` rounds, in which they run in turn, after a warm-up round."""
    for function in functions.values():
        seconds_once(function, bench.device)
    rounds = [[seconds_once(function, bench.device) for function in functions.values()] for _ in range(bench.repeats)]
    return {name: statistics.median(times) for name, times in zip(functions, zip(*rounds, strict=True), strict=True)}


def rates(bench: Bench) -> dict[str, float]:
    """Peak rates of the device: `flops`, FLOP/s of bfloat16 products, and `bytes`, bytes/s of copying a tensor."""
    size = 8192 if bench.cuda else 1024
    a = torch.randn(size, size, device=bench.device, dtype=torch.bfloat16)
    stream = torch.randn(1 << (28 if bench.cuda else 24), device=bench.device)
    target = torch.empty_like(stream)
    found = interleaved(bench, {"product": lambda: a @ a, "stream": lambda: target.copy_(stream)})
    return {"flops": 2 * size**3 / found["product"], "bytes": 2 * stream.nbytes / found["stream"]}


def environment(bench: Bench) -> dict[str, Any]:
    """Machine, commit and versions, which are saved with the results."""
    root = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True).stdout
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "."], cwd=root.parent).returncode != 0
    return {
        "machine": torch.cuda.get_device_name(bench.device) if bench.cuda else processor(),
        "threads": torch.get_num_threads(),
        "commit": commit.strip() + (" with changes" if changed else ""),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "repeats": bench.repeats,
    }


def processor() -> str:
    """Name of the CPU as the system gives it, with its bfloat16 instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    values = dict(line.split(":", 1) for line in lines if ":" in line)
    values = {key.strip(): value.strip() for key, value in values.items()}
    known = [flag for flag in ("avx512_bf16", "amx_bf16") if flag in values.get("flags", "").split()]
    family = f"family {values.get('cpu family', '?')} model {values.get('model', '?')}"
    return f"{values.get('model name', platform.machine())} ({', '.join([family, *known])})"


def table(header: list[str], rows: list[list[Any]]) -> str:
    """A text table with aligned columns."""
    texts = [header, *([cell if isinstance(cell, str) else f"{cell:,.4g}" for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(header))]
    return "\n".join("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in texts)


def random_tokens(vocabulary: int, rows: int, length: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Uniformly random (tokens, targets), each int64 [rows, length]; targets are the next tokens."""
    stream = torch.randint(vocabulary, (rows, length + 1), generator=torch.Generator().manual_seed(0)).to(device)
    return stream[:, :-1].contiguous(), stream[:, 1:].contiguous()
