"""Tokens/s of our training step and of the plain one, by width, depth and density; on CUDA also peak memory."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from benchmarks.measure import Bench, interleaved, random_tokens, table
from benchmarks.steps import OurStep, Shape, plain_step


def shapes(bench: Bench) -> list[Shape]:
    """The reference shape, then shapes that differ from it in one size."""
    base = Shape(width=2048, layers=8, batch=32, length=256) if bench.cuda else Shape()
    if bench.quick:
        return [base]
    widths: list[dict[str, Any]] = [{"width": base.width // 2}, {"width": base.width * 2}]
    depths: list[dict[str, Any]] = [{"layers": base.layers // 2}, {"layers": base.layers * 2}]
    densities: list[dict[str, Any]] = [{"density": 0.02}, {"density": 0.5}]
    changed = widths + depths + densities
    return [base, *(replace(base, **change) for change in changed)]


def run(bench: Bench) -> list[dict[str, Any]]:
    """A row for each shape: tokens/s of both steps and their ratio, and on CUDA the peak memory of both."""
    rows = [row(bench, shape) for shape in shapes(bench)]
    header = ["width", "layers", "density", "ours tokens/s", "plain tokens/s", "ratio"]
    print(table(header, [[str(r["width"]), str(r["layers"]), r["density"], r["ours"], r["plain"], r["ratio"]]
                         for r in rows]))  # fmt: skip
    return rows


def row(bench: Bench, shape: Shape) -> dict[str, Any]:
    """Measure both steps at one shape, alternating."""
    tokens, targets = random_tokens(shape.config.vocab_size, shape.batch, shape.length, bench.device)
    steps: dict[str, Any] = {"ours": OurStep(shape, bench.device), "plain": plain_step(shape, bench.device)}
    found = interleaved(bench, {name: partial(step, tokens, targets) for name, step in steps.items()})
    result: dict[str, Any] = asdict(shape) | {name: shape.tokens / seconds for name, seconds in found.items()}
    result["ratio"] = result["ours"] / result["plain"]
    if bench.cuda:
        for name, step in steps.items():
            torch.cuda.reset_peak_memory_stats(bench.device)
            step(tokens, targets)
            result[f"{name}_peak_bytes"] = torch.cuda.max_memory_allocated(bench.device)
    return result
