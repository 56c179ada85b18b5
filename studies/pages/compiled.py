"""What methods find in compiled programs, from the JSON file that `studies/compiled_circuits.py` writes."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from studies.pages.registry import number
from studies.pages.rows import RESULTS, table

SHOWN = 4
"""Extra or missing edges that are named."""


@cache
def measured() -> dict[str, Any]:
    """The whole file."""
    found: dict[str, Any] = json.loads((RESULTS / "components" / "compiled.json").read_text(encoding="utf-8"))
    return found


def named(edges: list[str]) -> str:
    """How many edges, and the first of them."""
    more = ", ..." if len(edges) > SHOWN else ""
    return f"{len(edges)}: {', '.join(edges[:SHOWN])}{more}" if edges else "0"


@number
def compiled_table() -> str:
    """A line for each program and method."""
    lines = []
    for program, found in measured()["programs"].items():
        first = [program, f"{found['true']} of {found['edges']}"]
        for method, each in found["methods"].items():
            lines.append(
                [*first, method, str(each["edges"]), named(each["missing"]), named(each["extra"]), f"{each['auc']:.3f}"]
            )
            first = ["", ""]
    return table(["program", "true edges", "method", "edges", "missing", "extra", "AUC"], lines)


@number
def compiled_exact(method: str) -> str:
    """In how many programs a method finds exactly the known circuit."""
    found = [program["methods"][method] for program in measured()["programs"].values()]
    return f"{sum(not each['missing'] and not each['extra'] for each in found)} of {len(found)}"


@number
def made_compiled() -> str:
    """Where that file comes from."""
    about = measured()["provenance"]
    return f"seed {measured()['seed']}; {about['machine']}; torch {about['torch']}; commit {about['commit'][:7]}"
