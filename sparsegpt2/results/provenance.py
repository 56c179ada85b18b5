"""Where a number came from: version and commit of the source, version of torch, and kind of machine."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

PACKAGE = Path(__file__).resolve().parents[1]


def provenance(device: str | torch.device) -> dict[str, str]:
    """The fields `version`, `commit`, `torch`, `device` and `machine` of a `Row`."""
    import torch  # here, because reading rows must not import torch

    kind = torch.device(device).type
    return {
        "version": package_version(),
        "commit": commit(),
        "torch": torch.__version__,
        "device": kind,
        "machine": machine(kind),
    }


def package_version() -> str:
    """Version of the installed package; empty if it is only on the Python path."""
    try:
        return version("sparsegpt2")
    except PackageNotFoundError:
        return ""


@cache
def commit() -> str:
    """Commit of the running source, with `-dirty` if there are uncommitted changes; empty outside its repository."""
    if not (PACKAGE.parent / ".git").exists():
        return ""
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine(device: str) -> str:
    """Name of the GPU, or number of usable CPU cores and name of the processor."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return f"{cores} CPU core{'' if cores == 1 else 's'}{_processor()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f", {names[0]}" if names and names[0] != "unknown" else ""
