"""Circuits that were read: what `sparsegpt2 read` measured, from the JSON files that it writes."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

from studies.pages.models import span
from studies.pages.registry import number
from studies.pages.rows import RESULTS, ROOT

FOLDER = RESULTS / "circuits"


@cache
def experiments(task: str) -> dict[str, Any]:
    """Name -> result of every experiment on a task's circuit."""
    found: dict[str, Any] = json.loads((FOLDER / f"{task}.json").read_text(encoding="utf-8"))
    return found


@number
def predictions(task: str = "") -> str:
    """How many experiments turned out as predicted, for one circuit or all."""
    tasks = [task] if task else sorted(path.stem for path in FOLDER.glob("*.json"))
    found = [each["held"] for one in tasks for each in experiments(one).values()]
    return f"{sum(found)} of {len(found)}"


def level_of(task: str, experiment: str, level: str, side: str) -> dict[str, float]:
    """What was measured at one level. level: with _ for spaces; side: `left`, `right` or `both` prompts."""
    found: dict[str, float] = experiments(task)[experiment]["levels"][level.replace("_", " ")][side]
    return found


@number
def flipped(task: str, experiment: str, nodes: str, side: str = "both", digits: str = "0") -> str:
    """The share of the whole model's answers that patching some nodes flips."""
    return f"{level_of(task, experiment, nodes, side)['flipped']:.{digits}%}"


@number
def wrong(task: str, experiment: str, level: str, side: str = "both") -> str:
    """The share of wrong answers. level: one, or several between commas, for the range over them."""
    found = [1 - level_of(task, experiment, each, side)["accuracy"] for each in level.split(",")]
    low, high = f"{min(found):.0%}", f"{max(found):.0%}"
    return low if low == high else f"{low} to {high}"


@number
def cost(task: str, experiment: str, level: str, base: str, side: str = "both") -> str:
    """By how many nats the margin is lower at a level, or at several, than at the level `base`."""
    start = level_of(task, experiment, base, side)["margin"]
    return span([start - level_of(task, experiment, each, side)["margin"] for each in level.split(",")], 1)


@cache
def page() -> str:
    """The page that `sparsegpt2 read` writes."""
    return (ROOT / "docs/results/circuits.md").read_text(encoding="utf-8")


def cells_of(pattern: str) -> list[str]:
    """The cells of the first table line of that page whose beginning matches."""
    found = re.search(rf"^\| {pattern}.*$", page(), re.MULTILINE)
    assert found, f"no line {pattern}"
    return [cell.strip() for cell in found[0].strip("| ").split(" | ")]


@number
def activation(node: str, side: str) -> str:
    """A node's mean activation on the left or the right prompts of validation pairs."""
    values = cells_of(rf"{re.escape(node)} (?:\(h\d+\) )?\|")[2].split()
    return values[side == "right"].rstrip(",")


@number
def attention(head: str, where: str) -> str:
    """The share of a head's attention that goes to where the prompts differ, or to the `sink`. head: `0.43`."""
    layer, number_ = head.split(".")
    return f"{float(cells_of(f'layer {layer}, head {number_} ')[1 + (where == 'sink')]):.0%}"


@number
def read_edges(task: str) -> str:
    """Edges of a circuit that was read, from the overview that `sparsegpt2 read` writes."""
    return cells_of(rf"\[{task}\]")[2]
