"""Seeds: does pruning find the same circuit again?

The same pruner is run with the same settings and other pruning seeds. For every two circuits, the intersection over
union (IoU) of their nodes and of their edges is computed. The results are the mean IoU of nodes and that of edges, each
with a standard error from leaving out one seed at a time. Different circuits can do the same task. A low IoU therefore
does not mean that the circuit is wrong; it means that it is not the only one. Bhaskar et al. 2024, "Finding Transformer
Circuits with Edge Pruning", report 0.52 to 0.64 for edges, with 12 seeds.

Shapes: S circuits (one for each pruning seed), N nodes of the model, E entries of all weight matrices that hold edges.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.edges import circuit_edges
from sparsegpt2.circuits.gates import join_nodes
from sparsegpt2.circuits.search import find_circuit
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_least, jackknife, mean_of
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """The mean IoU of nodes decides; the IoU of edges and the range of sizes are shown."""
    circuits, reached = [case.circuit], [case.circuit.info.met]
    wanted = other_seeds(case.prune.seed, case.config.seeds)
    for done, seed in enumerate(wanted):
        step = part(progress, done, len(wanted))
        found = case.remember(f"seeds/{seed}", partial(prune_again, case, seed, step))
        circuits.append(unpack(case, found))
        reached.append(found["reached"])
    nodes = torch.stack([join_nodes(circuit.nodes, case.sites).cpu() for circuit in circuits])  # [S, N]
    edges = torch.stack([edge_mask(case, circuit) for circuit in circuits])  # [S, E]
    sizes = edges.sum(dim=1)
    numbers = {
        "IoU of nodes": jackknife(iou(nodes), "seeds"),
        "IoU of edges": jackknife(iou(edges), "seeds"),
        "log2 of edges": mean_of(sizes.clamp(min=1).double().log2(), "seeds"),
    }
    bar = case.config.iou
    return Finding(
        verdict=at_least(numbers["IoU of nodes"], bar),
        says=f"the circuits of {len(circuits)} pruning seeds share {numbers['IoU of nodes']} of their nodes (IoU; the "
        f"bar is {bar:g}) and {numbers['IoU of edges']} of their edges; {int(sizes.min())} to {int(sizes.max())} edges",
        numbers=numbers,
        details={
            "bar": bar,
            "edges": sizes.tolist(),
            "nodes": nodes.sum(dim=1).tolist(),
            "reached": reached,
            "seeds": [case.prune.seed, *wanted],
        },
    )


def other_seeds(own: int, count: int) -> list[int]:
    """The lowest `count` - 1 seeds other than the circuit's own."""
    return [seed for seed in range(count) if seed != own][: count - 1]


def part(progress: Progress, done: int, total: int) -> Progress:
    """A progress callback for one of `total` prunings, of which `done` are finished.

    It turns the progress of this pruning into progress over all of them.
    """

    def show(steps: int, of: int, what: str) -> None:
        progress(1000 * done + 1000 * steps // max(1, of), 1000 * total, f"pruning {done + 1} of {total}: {what}")

    return show


def prune_again(case: Case, seed: int, progress: Progress) -> dict[str, Any]:
    """Find a circuit with another pruning seed, and return it as plain values."""
    return pack(find_circuit(case.model, case.task, replace(case.prune, seed=seed), progress))


def pack(circuit: Circuit) -> dict[str, Any]:
    """Plain values of a circuit for the report's memo: indices of kept nodes and weights, and whether the target was
    met."""
    return {
        "nodes": {site: kept.nonzero().flatten().tolist() for site, kept in circuit.nodes.items()},
        "weights": circuit.weights
        and {name: kept.flatten().nonzero().flatten().tolist() for name, kept in circuit.weights.items()},
        "reached": circuit.info.met,
    }


def unpack(case: Case, values: dict[str, Any]) -> Circuit:
    """The inverse of `pack`."""
    nodes = {site: torch.zeros(width, dtype=torch.bool) for site, width in case.sites.items()}
    for site, kept in values["nodes"].items():
        nodes[site][kept] = True
    weights = None
    if values["weights"]:
        weights = {}
        for name, kept in values["weights"].items():
            weights[name] = torch.zeros(case.model.get_parameter(name).shape, dtype=torch.bool)
            weights[name].view(-1)[kept] = True
    return Circuit(nodes, weights=weights)


def edge_mask(case: Case, circuit: Circuit) -> Tensor:
    """Which entries of the weight matrices are edges of the circuit, bool [E], on the CPU."""
    edges = circuit_edges(case.model, circuit.nodes, circuit.weights)
    return torch.cat([mask.flatten().cpu() for mask in edges.values()])


def iou(sets: Tensor) -> Tensor:
    """Intersection over union of every two of the S sets, [S, S]. For two empty sets it is 1.

    sets: one row for each circuit, bool [S, N] for nodes or [S, E] for edges.
    """
    counts = sets.double()
    both = counts @ counts.T
    either = counts.sum(1)[:, None] + counts.sum(1)[None] - both
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


CHECK = Check(asks="Do other pruning seeds find the same circuit?", run=run, expensive=True)
