"""Table and figure of one benchmark's pruners: `python benchmarks/compare_pruners.py FOLDER... --out figure.png`.

A task enters a model's means when the circuits of all pruners reached the target on it, so that all rows of a table
are over the same tasks. Prints the table as Markdown.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from sparsegpt2.report.aggregate import geometric_mean
from sparsegpt2.report.results import Row, current_rows, read_rows

Group = dict[str, dict[str, Row]]
"""Pruner -> task -> row."""


def groups(folders: list[str]) -> dict[str, Group]:
    """Rows that count, by model; a tuned pruner's name says so."""
    found: dict[str, Group] = defaultdict(lambda: defaultdict(dict))
    for folder in folders:
        for row in current_rows(read_rows(folder)):
            if row.status == "pruned":
                trials = row.settings.get("tune", 0)
                found[row.model][row.pruner + (f" (tuned, {trials} trials)" if trials else "")][row.task] = row
    return found


def shared(group: Group) -> list[str]:
    """Tasks on which every pruner has a circuit that counts."""
    return sorted(set.intersection(*({task for task, row in rows.items() if row.counts} for rows in group.values())))


def table(model: str, group: Group) -> list[str]:
    """Markdown lines of one model."""
    tasks = shared(group)
    lines = [f"**{model}**, {len(tasks)} tasks: {', '.join(tasks)}", ""]
    lines += ["| pruner | edges | against node | mean test loss | seconds per circuit |", "|---|---|---|---|---|"]
    sizes = {pruner: geometric_mean(rows[task].edges or 0 for task in tasks) for pruner, rows in group.items()}
    for pruner, size in sizes.items():
        rows = [group[pruner][task] for task in tasks]
        loss = sum(row.loss or 0.0 for row in rows) / len(rows)
        seconds = geometric_mean(row.seconds for row in rows)
        lines.append(f"| {pruner} | {size:,.0f} | {size / sizes['node']:.2f} | {loss:.3f} | {seconds:.1f} |")
    return lines


def draw(found: dict[str, Group], path: Path) -> None:
    """Bars of geometric-mean edges, a panel for each model, and a dot for each task."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(found), figsize=(5.5 * len(found), 4), squeeze=False, layout="constrained")
    for panel, (model, group) in zip(panels[0], found.items(), strict=True):
        tasks = shared(group)
        for place, (_, rows) in enumerate(reversed(group.items())):
            sizes = [rows[task].edges or 1 for task in tasks]
            panel.barh(place, geometric_mean(sizes), color="#7a9cc6", height=0.7)
            panel.plot(sizes, [place] * len(sizes), ".", color="#1f2d3d", markersize=4)
        panel.set_yticks(range(len(group)), list(reversed(group)))
        panel.set_xscale("log")
        panel.set_xlabel("edges at task loss 0.15 (bar: geometric mean; dots: tasks)")
        panel.set_title(f"{model}, {len(tasks)} tasks")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", help="results folders of `sparsegpt2 bench`")
    parser.add_argument("--out", type=Path, required=True, help="PNG file")
    arguments = parser.parse_args()
    found = groups(arguments.folders)
    for model, group in found.items():
        print("\n".join([*table(model, group), ""]))
    draw(found, arguments.out)


if __name__ == "__main__":
    main()
