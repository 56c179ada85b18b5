"""The record of a model that its card shows. Here its types are checked, and its texts are escaped for Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from sparsegpt2.errors import one_line
from sparsegpt2.plain import check_record


@dataclass(frozen=True)
class Record:
    """The keys of a model's info that a card shows."""

    density: float | None
    held_out_loss: float | None
    tokens: int | None
    seed: int | None
    commit: str | None
    imported: Any
    train: dict[str, Any] | None
    """The settings of its training."""
    rounded: dict[str, str] | None
    """Tensor -> the type that it was rounded to."""
    benchmark: dict[str, Any] | None


@dataclass(frozen=True)
class Benchmark:
    """The record of a zoo model's tasks and circuits; sizes are means over seeds."""

    pruner: str
    target_loss: float
    seeds: list[int]
    settings: dict[str, Any]
    had: int
    """Number of tasks that the model has."""
    counted: int
    """Number of tasks that count towards the mean size (docs/definitions.md, Score)."""
    edges: float | None
    tasks: dict[str, dict[str, float | bool | None]]
    commit: str
    machine: str


@dataclass(frozen=True)
class Cell:
    """One task of a benchmark."""

    has_task: bool
    counts: bool
    loss_full: float | None
    loss: float | None
    edges: float | None
    edges_trimmed: float | None


def check_card(info: dict[str, Any]) -> dict[str, Any]:
    """`info`, if what a card shows of it has the right types; else a `UserError`."""
    check_record(Record, info, "the model's record", others=True)
    if info.get("benchmark"):
        facts = check_record(Benchmark, info["benchmark"], "the model's record of its benchmark")
        for task, cell in facts["tasks"].items():
            check_record(Cell, cell, f"the model's record of {task}")
    return info


def corpora_of(train: dict[str, Any]) -> list[str]:
    """The names or paths of the corpora in the recorded settings of a training; empty if the settings list none."""
    data = train.get("data")
    corpora = data.get("corpora") if isinstance(data, dict) else None
    named = corpora if isinstance(corpora, list) else []
    return [str(one.get("path") or one.get("name")) for one in named if isinstance(one, dict)]


def plain(value: Any) -> str:
    """Any value as text that Markdown and HTML show as it is, on one line, also in a cell of a table."""
    text = one_line(str(value)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`|\[\]])", r"\\\1", text)


def yaml_block(values: Any, *, short_lists_on_a_line: bool = False) -> list[str]:
    """Lines of a fenced block with `values` as YAML; the fence is longer than any in the values."""
    text = yaml.safe_dump(values, sort_keys=False, default_flow_style=None if short_lists_on_a_line else False).rstrip()
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [f"{fence}yaml", text, fence]
