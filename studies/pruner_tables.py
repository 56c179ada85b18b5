"""Circuit size, test loss and seconds by pruner, from benchmarks: `python studies/pruner_tables.py FOLDER...`.

A task enters the means of a model if the circuits of all pruners meet the target, so all rows of a table are over the
same tasks. Prints Markdown. `sparsegpt2 frontier` draws the figure.
"""

from __future__ import annotations

import argparse
from collections import defaultdict

from sparsegpt2.results import Row, choose_target, current_rows, geometric_mean, read_rows

Group = dict[str, dict[str, Row]]
"""Pruner -> task -> row."""


def groups(folders: list[str]) -> dict[str, Group]:
    """Rows by model, for models with several pruners: those at the target nearest to 0.15 with the lowest seed.

    The name of a tuned pruner includes the number of trials.
    """
    rows = [row for folder in folders for row in current_rows(read_rows(folder)) if row.status == "pruned"]
    target, seed = choose_target(rows), min(row.seed for row in rows)
    found: dict[str, Group] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if (row.target_loss, row.seed) == (target, seed):
            trials = row.settings.get("tune", 0)
            found[row.model][row.pruner + (f" (tuned, {trials} trials)" if trials else "")][row.task] = row
    return {model: group for model, group in found.items() if len(group) > 1}


def shared(group: Group) -> list[str]:
    """Tasks that count with every pruner."""
    return sorted(set.intersection(*({task for task, row in rows.items() if row.counts} for rows in group.values())))


def table(model: str, group: Group) -> list[str]:
    """Markdown lines for one model: a row per pruner."""
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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", help="results folders of `sparsegpt2 bench`")
    arguments = parser.parse_args()
    found = groups(arguments.folders)
    for model, group in found.items():
        print("\n".join([*table(model, group), ""]))


if __name__ == "__main__":
    main()
