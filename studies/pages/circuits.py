"""Circuits that were read: what `sparsegpt2 read` measured, from the JSON files that it writes."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

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


@number
def flipped(task: str, experiment: str, nodes: str) -> str:
    """The share of the whole model's answers that a patch flips. nodes: the level, with _ for spaces."""
    level = experiments(task)[experiment]["levels"][nodes.replace("_", " ")]
    return f"{level['both']['flipped']:.0%}"


@number
def read_edges(task: str) -> str:
    """Edges of a circuit that was read, from the overview that `sparsegpt2 read` writes."""
    page = (ROOT / "docs/results/circuits.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| \[{task}\]\(#{task}\) \| [\d,]+ \| ([\d,]+) \|", page, re.MULTILINE)
    assert found, f"no line for {task}"
    return found[1]
