"""Runs every method of `discover` on models and tasks: rows of results, a figure for each task, and Markdown tables.

    python studies/component_circuits.py runs/quickstart/dense-32 runs/quickstart/sparse-256 \
        --out runs/components --figures docs/results/components

Rows that are already in the results folder are not computed again, so the script can be interrupted, and tasks can be
divided among processes (`--tasks`). Each method and task runs in its own process, so that its peak RAM is its own.
Graphs of more than 100 edges are run with half as many pairs for each edge and fewer sizes.
"""

from __future__ import annotations

import argparse
import multiprocessing
from typing import Any

from eval_tasks.bench.discover import discover_rows
from sparsegpt2 import load_model
from sparsegpt2.components import ComponentGraph, DiscoverConfig, get_method
from sparsegpt2.report.component_tables import costs_table, ratios_table, sizes_table
from sparsegpt2.report.components import write_figures
from sparsegpt2.results import read_rows

TASKS = "single_double_quote,bracket_brace,var_if,while_return_true,fstring_brace"
METHODS = ("eap", "eap_ig", "information_flow", "path_patching", "acdc", "edge_pruning")
MANY_EDGES = 100
SETTINGS: tuple[dict[str, dict[str, Any]], ...] = (
    {
        "acdc": {"pairs": 8, "thresholds": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)},
        "path_patching": {"pairs": 8},
    },
    {
        "acdc": {"pairs": 4, "thresholds": (1e-3, 3e-3, 1e-2, 3e-2)},
        "path_patching": {"pairs": 4},
        "edge_pruning": {"pairs": 4, "steps": 200},
    },
)
"""Settings for graphs with few edges, and for graphs with many."""
SPARSITIES = (
    {"trained": (0.5, 0.7, 0.8, 0.9), "ranked": (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)},
    {"trained": (0.85, 0.95), "ranked": (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)},
)
"""Sparsities, likewise; fewer for Edge Pruning, which trains new masks for each."""
FAITHFUL = (0.02, 0.05, 0.1)
"""Values of KL (nats) at which sizes are compared."""


def run(model: str, task: str, method: str, out: str) -> None:
    """Compute and print the rows of one model, task and method."""
    many = ComponentGraph.of(load_model(model).config).n_edges > MANY_EDGES
    sizes = SPARSITIES[many]["trained" if method == "edge_pruning" else "ranked"]
    settings = get_method(method).settings(**SETTINGS[many].get(method, {}))
    config = DiscoverConfig(method=method, sparsities=sizes, rows=256)
    for row in discover_rows([model], [task], config, settings, out=out):
        measures = row.components or {}
        print(row.model, task, method, measures.get("edges"), measures.get("kl"), flush=True)


def main() -> None:
    """Compute the missing rows, draw the figures and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--out", required=True)
    parser.add_argument("--figures", required=True)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for task in arguments.tasks.split(","):
        for model in arguments.models:
            for method in METHODS:
                process = context.Process(target=run, args=(model, task, method, arguments.out))
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(f"{method} on {model}, {task} failed")
    rows = read_rows(arguments.out)
    for path in write_figures(rows, arguments.figures):
        print(path)
    for kl in FAITHFUL:
        print(f"\nFewest edges at a KL of at most {kl} nats:\n\n{sizes_table(rows, kl)}")
    print(f"\n{ratios_table(rows, 'edge_pruning')}\n\n{costs_table(rows)}")


if __name__ == "__main__":
    main()
