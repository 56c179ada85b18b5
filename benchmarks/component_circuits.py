"""Every discovery method on models and tasks: rows of results, and a figure for each task.

    python benchmarks/component_circuits.py runs/quickstart/dense --out results --figures docs/results/components
    python benchmarks/component_circuits.py runs/quickstart/sparse-128 --quick --out results --figures ...

What is in the results folder already is not made again. `--quick` takes half the evidence for an edge and fewer sizes,
for graphs of hundreds of edges on a small machine.
"""

from __future__ import annotations

import argparse
from typing import Any

from eval_tasks.discover import discover_rows
from sparsegpt2.components import DiscoverConfig, get_method
from sparsegpt2.report.components import write_figures
from sparsegpt2.report.results import read_rows

TASKS = "single_double_quote,bracket_brace,var_if,while_return_true,fstring_brace"
METHODS = ("eap", "eap_ig", "information_flow", "path_patching", "acdc", "edge_pruning")
FULL: dict[str, dict[str, Any]] = {
    "acdc": {"pairs": 8, "thresholds": (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)},
    "path_patching": {"pairs": 8},
}
QUICK: dict[str, dict[str, Any]] = {
    "acdc": {"pairs": 4, "thresholds": (1e-3, 3e-3, 1e-2, 3e-2)},
    "path_patching": {"pairs": 4},
    "edge_pruning": {"pairs": 4, "steps": 200},
}
SPARSITIES = (
    {"trained": (0.5, 0.7, 0.8, 0.9), "ranked": (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9)},
    {"trained": (0.85, 0.95), "ranked": (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97)},
)
"""Of the full and of the quick study; Edge Pruning trains masks anew for each."""


def main() -> None:
    """Run what is missing, then draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--out", required=True)
    parser.add_argument("--figures", required=True)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    for task in arguments.tasks.split(","):
        for method in METHODS:
            sizes = SPARSITIES[arguments.quick]["trained" if method == "edge_pruning" else "ranked"]
            settings = get_method(method).settings(**(QUICK if arguments.quick else FULL).get(method, {}))
            config = DiscoverConfig(method=method, sparsities=sizes, rows=256)
            for row in discover_rows(arguments.models, [task], config, settings, out=arguments.out):
                measures = row.components or {}
                print(row.model, task, method, measures.get("edges"), measures.get("kl"), flush=True)
    for path in write_figures(read_rows(arguments.out), arguments.figures):
        print(path)


if __name__ == "__main__":
    main()
