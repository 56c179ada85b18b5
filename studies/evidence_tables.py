"""Tables of benchmarks that were run with `--evidence`: `python studies/evidence_tables.py FOLDER...`.

Prints Markdown: verdicts by check, controls and necessity by circuit, and the median of every number, with a column for
each model and pruner.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from typing import Any

from sparsegpt2.results import Row, current_rows, read_rows

Column = tuple[str, str]
"""(model, pruner)"""
CHECKS = [
    "sufficiency",
    "necessity",
    "completeness",
    "minimality",
    "generalisation",
    "agreement",
    "attention",
    "stochastic",
    "norms",
    "controls",
    "seeds",
    "adversarial",
    "binarisation",
]
CONTROLS = ("shuffled answers", "random model, initial", "random model, permuted")


def columns(folders: list[str]) -> dict[Column, list[Row]]:
    """Rows with evidence by model and pruner, sorted by task."""
    found: dict[Column, list[Row]] = defaultdict(list)
    for folder in folders:
        for row in current_rows(read_rows(folder)):
            if row.evidence:
                found[row.model, row.pruner].append(row)
    return {column: sorted(rows, key=lambda row: row.task) for column, rows in found.items()}


def finding(row: Row, check: str) -> dict[str, Any]:
    """The finding of a check, or an empty dict if it was not run."""
    result: dict[str, Any] = (row.evidence or {})["findings"].get(check, {})
    return result


def number(row: Row, check: str, name: str) -> str:
    """A number from a check with its standard error, as text."""
    entry = finding(row, check).get("numbers", {}).get(name)
    if entry is None:
        return ""
    return f"{entry['value']:.2f}" + ("" if entry["error"] is None else f" ± {entry['error']:.2f}")


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows))


def verdicts(found: dict[Column, list[Row]]) -> str:
    """For each check, the number of circuits for which it holds / is unclear / fails."""

    def cell(rows: list[Row], check: str) -> str:
        given = [finding(row, check)["verdict"] for row in rows if finding(row, check)]
        return " / ".join(str(given.count(word)) for word in ("holds", "unclear", "fails")) if given else "not run"

    header = ["check", *(f"{model}, {pruner} ({len(rows)})" for (model, pruner), rows in found.items())]
    return markdown(header, [[check, *(cell(rows, check) for rows in found.values())] for check in CHECKS])


def controls(found: dict[Column, list[Row]]) -> str:
    """For each circuit, its size and the sizes that the pruner finds for nonsense tasks and in random models, and the
    losses without the circuit and without random sets."""

    def twin(row: Row, name: str) -> str:
        made = finding(row, "controls").get("details", {}).get(name)
        if not made:
            return ""
        if not made[0]["reached"]:
            return "none"
        return f"{made[0]['edges']:,} ({made[0]['edges'] / max(1, row.edges or 1):.1f})"

    rows = [
        [model, pruner, row.task, f"{row.edges:,}", *(twin(row, name) for name in CONTROLS),
         number(row, "necessity", "without circuit"), number(row, "necessity", "without random set"),
         finding(row, "necessity").get("verdict", "")]
        for (model, pruner), group in found.items() for row in group
    ]  # fmt: skip
    return markdown(
        ["model", "pruner", "task", "edges", *CONTROLS, "without it", "without random sets", "necessity"], rows
    )


def medians(found: dict[Column, list[Row]]) -> str:
    """The median over tasks of every number from every check."""
    names = {
        (check, name): None
        for check in CHECKS
        for group in found.values()
        for row in group
        for name in finding(row, check).get("numbers", {})
    }

    def cell(group: list[Row], check: str, name: str) -> str:
        entries = [finding(row, check).get("numbers", {}).get(name) for row in group]
        values = [entry["value"] for entry in entries if entry is not None]
        return f"{statistics.median(values):.2f}" if values else ""

    header = ["check", "number", *(f"{model}, {pruner}" for model, pruner in found)]
    sizes = [f"{statistics.median(row.edges or 0 for row in group):,.0f}" for group in found.values()]
    rows = [[check, name, *(cell(group, check, name) for group in found.values())] for check, name in names]
    return markdown(header, [["", "edges", *sizes], *rows])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", help="results folders of `sparsegpt2 bench --evidence`")
    found = columns(parser.parse_args().folders)
    print("\n\n".join(table(found) for table in (verdicts, controls, medians)))


if __name__ == "__main__":
    main()
