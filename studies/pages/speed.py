"""Times, from the JSON files that `python -m benchmarks` writes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sparsegpt2.results import ratio_mean
from studies.pages.registry import number
from studies.pages.rows import ROOT, table

FOLDER = ROOT / "benchmarks" / "results"
MACHINE = "amd-epyc-family-25-model-17-avx512-bf16-"
"""Start of the names of the files that the page shows."""


@cache
def section(name: str) -> tuple[dict[str, Any], Any]:
    """(environment, numbers) of one section, from the last file of `MACHINE` that has it; file names hold the date."""
    for path in sorted(FOLDER.glob(f"{MACHINE}*.json"), reverse=True):
        found = json.loads(path.read_text(encoding="utf-8"))
        if name in found:
            return found["environment"], found[name]
    raise KeyError(name)


def rate(value: float) -> str:
    """Four significant digits with thousands separators."""
    return f"{float(f'{value:.4g}'):,.0f}"


@number
def speed_training() -> str:
    """A line for each shape: tokens/s of our training step and of the plain one."""
    lines = [
        [
            str(one["width"]),
            str(one["layers"]),
            f"{one['density']:g}",
            rate(one["ours"]),
            rate(one["plain"]),
            f"{one['ratio']:.1f}",
        ]
        for one in section("training")[1]
    ]
    return table(["width", "layers", "density", "ours, tokens/s", "plain, tokens/s", "ratio"], lines)


@number
def speed_parts() -> str:
    """A line for each part of a step with its share of the time."""
    plainer = {"loss beside its products": "loss without its products"}
    shares = section("parts")[1]["shares"]
    return table(["part", "share"], [[plainer.get(name, name), f"{share:.1%}"] for name, share in shares.items()])


@number
def speed_projection() -> str:
    """A line for each size: milliseconds of the projection."""
    lines = [
        [
            f"{one['weights'] / 1e6:.2f}M",
            f"{one['density']:g}",
            f"{one['ours']:.1f}",
            f"{one['torch.topk']:.1f}",
            f"{one['one pass']:.2f}",
        ]
        for one in section("kernels")[1]["projection"]
    ]
    return table(["weights", "density", "ours", "torch.topk", "one pass"], lines)


@number
def speed_abs_topk() -> str:
    """A line for each width: milliseconds of AbsTopK."""
    lines = [
        [
            f"{one['width']:,}",
            f"{one['ours']:.1f}",
            f"{one['torch.topk']:.1f}",
            f"{one['GELU']:.1f}",
            f"{one['one pass']:.2f}",
            f"{one['over GELU']:.2f}",
        ]
        for one in section("kernels")[1]["abs_topk"]
    ]
    return table(["width", "ours", "torch.topk", "GELU", "one pass", "ours : GELU"], lines)


@number
def speed_inference() -> str:
    """A line for each density: tokens/s of dense and of sparse weights."""
    lines = [
        [f"{one['density']:g}", rate(one["dense"]), rate(one["sparse"]), f"{one['ratio']:.1f}", str(one["sparse maps"])]
        for one in section("inference")[1]
    ]
    return table(["density", "dense, tokens/s", "sparse, tokens/s", "ratio", "maps that are sparse, of 9"], lines)


@number
def speed_pruning() -> str:
    """A line for each model and task: seconds and edges of our way and of the plain ones."""
    lines = []
    for one in section("pruning")[1]:
        cells = [cell for way in ("ours", "plain", "published") for cell in (one[f"{way} s"], one[f"{way} edges"])]
        shown = [f"{cell:.1f}" if isinstance(cell, float) else f"{cell:,}" for cell in cells]
        lines.append([one["model"], one["task"], *shown])
    head = ["model", "task", "ours: s", "edges", "plain: s", "edges", "published: s", "edges"]
    return table(head, lines)


@number
def speed_pruning_mean(way: str, what: str, digits: str = "1") -> str:
    """How many times the `s` (seconds) or `edges` of our way a plain way takes, geometric mean of the table's lines."""
    found = ratio_mean(one[f"{way} {what}"] / one[f"ours {what}"] for one in section("pruning")[1])
    return f"{found:.{digits}f}"


@number
def speed_gflops() -> str:
    """The rate of large bfloat16 products, GFLOP/s."""
    return f"{section('parts')[1]['rates']['flops'] / 1e9:.0f}"


@number
def speed(name: str, path: str, form: str = ".1f") -> str:
    """One number of a section. path: keys and positions joined by dots, with _ for spaces; form: as for `format`."""
    found = section(name)[1]
    for key in path.split("."):
        found = found[int(key)] if isinstance(found, list) else found[key.replace("_", " ")]
    return format(found, form)


@number
def speed_step(form: str) -> str:
    """The time of our step: in `seconds`, or as a share of the `floor` of its products and memory traffic."""
    parts = section("parts")[1]
    floor = sum(parts["floor"].values())
    return f"{parts['seconds']:.3f}" if form == "seconds" else f"{parts['seconds'] / floor:.2f}"


@number
def made_speed(name: str) -> str:
    """Machine, threads, versions and commit of a section."""
    about = section(name)[0]
    runs = "one run of each" if name == "pruning" else f"medians of {about['repeats']} rounds"
    return (
        f"{about['machine']}, {about['threads']} thread{'s' * (about['threads'] != 1)}, Python {about['python']}, "
        f"torch {about['torch']}, {runs}, commit {about['commit']}"
    )
