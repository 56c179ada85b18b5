"""How well each method finds the known circuit of a compiled program: missing and extra edges, and AUC, as JSON.

    python -m studies.compiled_circuits tests/sparsegpt2/components/compiled/* \
        --out docs/results/components/compiled.json

Edges are zero-ablated. The known circuit has every edge whose ablation alone changes the output on some of 300 pairs.
Edge Pruning and ACDC choose the size of a circuit themselves. From a ranking, the fewest edges are taken with which the
output is right (squared error below 1e-6 on 50 validation pairs).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.components import ComponentCircuit, DiscoverConfig, discover, get_method, method_names
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.score import auc, smallest_faithful
from sparsegpt2.files import write_json
from sparsegpt2.interop.compiled import Compiled, read
from sparsegpt2.results import provenance

ZERO = {"intervention": "zero"}
TOLERANCE = 1e-6
SETTINGS = {"acdc": {"thresholds": (1e-6,), "pairs": 25}, "edge_pruning": {"pairs": 5, "batches": 8}}


def known_circuit(program: Compiled) -> torch.Tensor:
    """The edges whose ablation alone changes the output, bool [writers, readers]."""
    config = DiscoverConfig(method="path_patching", objective="squared_error", **ZERO)
    settings = get_method("path_patching").settings(pairs=300)
    effects = discover(program.model, program.task(), config, settings).discovery.effects
    assert effects is not None
    return effects > 1e-9


def found_circuit(program: Compiled, method: str, truth: torch.Tensor) -> tuple[ComponentCircuit, float, float]:
    """(circuit, AUC of the method's scores against `truth`, seconds)."""
    problem = Problem(program.model, program.task(), DiscoverConfig(**ZERO), "squared_error")
    graph, started = problem.graph, time.perf_counter()
    sparsity = 1 - int(truth.sum()) / graph.n_edges
    config = DiscoverConfig(method=method, sparsities=(sparsity,), **ZERO)
    settings = get_method(method).settings(**SETTINGS.get(method, {}))
    found = discover(program.model, program.task(), config, settings)
    seconds, kept = time.perf_counter() - started, found.circuits[0].kept
    if method not in SETTINGS:
        with frozen(program.model, torch.float32):
            faithful = smallest_faithful(problem, found.discovery.scores, TOLERANCE, split="validation", pairs=50)
        kept = graph.present if faithful is None else faithful
    circuit = ComponentCircuit(graph, kept).trimmed(from_inputs=False)
    return circuit, auc(graph.flat(found.discovery.scores), graph.flat(truth)), seconds


def findings(directory: str) -> dict[str, Any]:
    """What every method finds in one program, as values that JSON can hold."""
    program = read(directory)
    truth = known_circuit(program)
    methods = {}
    for method in method_names():
        circuit, area, seconds = found_circuit(program, method, truth)
        methods[method] = {
            "edges": circuit.n_edges,
            "missing": circuit.graph.names(truth & ~circuit.kept),
            "extra": circuit.graph.names(circuit.kept & ~truth),
            "auc": area,
            "seconds": round(seconds, 1),
        }
        print(program.name, method, methods[method], flush=True)
    return {"true": int(truth.sum()), "edges": circuit.graph.n_edges, "methods": methods}


def main() -> None:
    """Write what was found in the programs named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directories", nargs="+")
    parser.add_argument("--out", required=True, help="JSON file")
    arguments = parser.parse_args()
    programs = {Path(directory).name: findings(directory) for directory in arguments.directories}
    write_json(arguments.out, {"provenance": provenance("cpu"), "seed": 0, "programs": programs})


if __name__ == "__main__":
    main()
