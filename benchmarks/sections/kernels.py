"""Projection and AbsTopK, compared with `torch.topk` and with one pass over the same memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import Bench, interleaved, table
from benchmarks.plain_step import plain_abs_topk
from sparsegpt2.kernels.abs_topk import abs_topk
from sparsegpt2.sparsity.project import project_


def run(bench: Bench) -> dict[str, list[dict[str, Any]]]:
    """Milliseconds of each implementation, by size."""
    found = {"projection": projection(bench), "abs_topk": activations(bench)}
    for name, rows in found.items():
        print(f"{name} (milliseconds)")
        print(table(list(rows[0]), [list(row.values()) for row in rows]))
    return found


def projection(bench: Bench) -> list[dict[str, Any]]:
    """Projecting a matrix to a density, with at least 4 nonzero weights in each row."""
    rows = []
    for size, density in ((1 << 18, 0.05), (1 << 22, 0.05), (1 << 22, 0.01), (1 << 24, 0.01))[
        : 2 if bench.quick else 4
    ]:
        weight = torch.randn(size // 512, 512, device=bench.device)
        room, keep = torch.empty_like(weight), int(density * size)

        ways: dict[str, Callable[[], Any]] = {
            "ours": partial(projected, weight, room, density),
            "torch.topk": partial(sorted_projection, weight, room, keep),
            "one pass": partial(room.copy_, weight),
        }
        times = {name: 1e3 * seconds for name, seconds in interleaved(bench, ways).items()}
        rows.append({"weights": size, "density": density} | times)
    return rows


def projected(weight: Tensor, room: Tensor, density: float) -> None:
    """Our projection, on a copy in `room`."""
    project_(room.copy_(weight), density, min_alive=4, neuron_dim=0)


def sorted_projection(weight: Tensor, room: Tensor, keep: int) -> None:
    """Projection by `torch.topk` and a boolean mask, on a copy in `room`."""
    room.copy_(weight)
    kept = torch.zeros(weight.numel(), dtype=torch.bool, device=weight.device)
    room *= kept.scatter_(0, room.abs().flatten().topk(keep).indices, True).view_as(room)


def forward_backward(function: Callable[[Tensor], Tensor], x: Tensor, upstream: Tensor) -> None:
    """Compute the function of x and its gradient."""
    torch.autograd.grad(function(x), x, upstream)


def activations(bench: Bench) -> list[dict[str, Any]]:
    """AbsTopK that keeps a quarter of each row, forward and backward, compared with GELU on the same tensor."""
    rows = []
    for width in (256,) if bench.quick else (128, 256, 1024, 4096):
        x = torch.randn(max(1, (1 << 21) // width), width, device=bench.device).to(torch.bfloat16).requires_grad_()
        upstream, room = torch.randn_like(x), torch.empty_like(x)
        ways: dict[str, Callable[[], Any]] = {
            "ours": partial(forward_backward, partial(abs_topk, k=width // 4), x, upstream),
            "torch.topk": partial(forward_backward, partial(plain_abs_topk, k=width // 4), x, upstream),
            "GELU": partial(forward_backward, F.gelu, x, upstream),
            "one pass": partial(room.copy_, x.detach()),
        }
        times = {name: 1e3 * seconds for name, seconds in interleaved(bench, ways).items()}
        rows.append({"width": width} | times | {"over GELU": times["ours"] / times["GELU"]})
    return rows
