"""Necessity: does the model fail without the circuit, and only without the circuit?

The circuit's nodes are mean-ablated, and all other nodes are kept (paper, figure 32). The loss is compared with the
loss after ablating random sets of nodes, as many at every site as the circuit has there.

If the circuit has a mask over weights, a second comparison is made, which then decides instead of the first. The
circuit's edges are ablated, so that each carries the mean of its source; the other edges of the same nodes are kept.
The loss is compared with the loss after ablating random edges, as many of every map as the circuit has there.

Shapes: R random draws, B rows (two per pair), C channels of a site, E edges of a map.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.edges import circuit_edges, edge_maps, edges_present
from sparsegpt2.evidence.case import CHANCE, Case, stack_masks
from sparsegpt2.evidence.estimate import Estimate, all_of, at_least, at_most, mean_over_draws, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """Loss without the circuit must be at least chance, ln 2; loss without random sets must be at most chance."""
    generator, draws = case.generator("necessity"), case.config.draws
    without = mean_over_pairs(case.losses(case.complement())[0])
    random = case.losses(stack_masks([without_random(case.nodes, generator) for _ in range(draws)]))  # [R, B]
    numbers = {"full": mean_over_pairs(case.full_loss), "without circuit": without}
    numbers |= _random_numbers("random set", random)
    decisive, beside = without, numbers["without random set"]
    progress(1, 2, "necessity")
    if case.has_edge_mask:
        numbers["without edges"] = mean_over_pairs(case.losses(case.everything, weights=without_edges(case))[0])
        random = torch.cat([case.losses(case.everything, weights=without_edges(case, generator)) for _ in range(draws)])
        numbers |= _random_numbers("random edges", random)
        decisive, beside = numbers["without edges"], numbers["without random edges"]
    progress(2, 2, "necessity")
    kind = "edges" if case.has_edge_mask else "nodes"
    return Finding(
        verdict=all_of([at_least(decisive, CHANCE), at_most(beside, CHANCE)]),
        says=f"without the circuit's {kind} the loss is {decisive}, and without as many random {kind} it is {beside}; "
        f"chance is {CHANCE:.3f}",
        numbers=numbers,
        details={"bar": CHANCE, "decided by": kind},
    )


def _random_numbers(what: str, losses: Tensor) -> dict[str, Estimate]:
    """The mean of losses [R, B] over draws and pairs, and the mean of the draw with the highest loss."""
    worst = losses[int(losses.mean(dim=1).argmax())]
    return {f"without {what}": mean_over_draws(losses), f"without {what}, worst": mean_over_pairs(worst)}


def without_random(nodes: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """A mask, site -> bool [C], that drops random nodes: as many at every site as the circuit has there."""
    kept = {}
    for site, mask in nodes.items():
        order = torch.randperm(len(mask), generator=generator).to(mask.device)
        kept[site] = torch.ones_like(mask).index_fill_(0, order[: int(mask.count_nonzero())], False)
    return kept


def without_edges(case: Case, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """A mask over weights that drops the circuit's edges.

    With a generator, it drops random edges instead: as many in each map as the circuit has there.
    """
    circuit = circuit_edges(case.model, case.nodes, case.weights)
    if generator is None:
        return {name: ~edges for name, edges in circuit.items()}
    masks = {name: torch.ones_like(edges) for name, edges in circuit.items()}
    for edge_map in edge_maps(case.model):
        block = (edge_map.rows, edge_map.columns)
        entries = edges_present(case.model, edge_map).nonzero()  # [E, 2]
        chosen = torch.randperm(len(entries), generator=generator)[
            : int(circuit[edge_map.parameter][block].count_nonzero())
        ]
        masks[edge_map.parameter][block][tuple(entries[chosen.to(entries.device)].T)] = False
    return masks


CHECK = Check(asks="Does the model fail without the circuit, and not without random sets of its size?", run=run)
