"""Stochastic ablation: does the circuit still work when only part of what lies outside it is ablated?

The complement of the circuit is the nodes outside it and the edges that its mask over weights leaves out. A random
share of the complement is mean-ablated, and everything else is kept. If all nodes outside are ablated, the effects of
their ablations can cancel each other; if only a random part is ablated, they mostly do not. So a circuit that depends
on such a cancellation fails this check (Drori 2026 and the comments on it; docs/faithfulness.md lists it).

Shapes: R random draws, B rows (two per pair).
"""

from __future__ import annotations

import torch

from sparsegpt2.circuits.edges import edge_maps
from sparsegpt2.evidence.case import Case, stack_masks
from sparsegpt2.evidence.estimate import all_of, at_most, mean_over_draws, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """The mean loss at every rate must meet the bar."""
    generator = case.generator("stochastic")
    numbers = {"rate 0": mean_over_pairs(case.full_loss)}
    worst = 0.0
    for done, rate in enumerate(case.config.rates, 1):
        losses = partly_ablated(case, rate, generator)
        numbers[f"rate {rate:g}"] = mean_over_draws(losses)
        worst = max(worst, float(losses.mean(dim=1).max()))
        progress(done, len(case.config.rates), "stochastic ablation")
    numbers["rate 1"] = mean_over_pairs(case.circuit_loss)
    bar = case.bar()
    asked = {name: number for name, number in numbers.items() if name != "rate 0"}
    highest = max(asked, key=lambda name: asked[name].value)
    return Finding(
        verdict=all_of(at_most(number, bar) for number in asked.values()),
        says=f"with part of the rest ablated the mean loss is at most {asked[highest]}, at {highest}; "
        f"the bar is {bar:.3f}",
        numbers=numbers,
        details={"bar": bar, "worst draw": worst, "draws": case.config.draws},
    )


def partly_ablated(case: Case, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Losses [R, B] with a random share `rate` of the complement ablated, in each of R = `config.draws` draws."""
    outside = case.complement()
    kept = []
    for _ in range(case.config.draws):
        ablated = case.random_nodes(rate, outside, generator)
        kept.append({site: ~mask for site, mask in ablated.items()})
    if not case.weights:
        return case.losses(stack_masks(kept))
    # a mask over weights changes the model's parameters, so each mask over nodes needs its own forward pass
    return torch.cat([case.losses(nodes, weights=alive_edges(case, rate, generator)) for nodes in kept])


def alive_edges(case: Case, rate: float, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """The circuit's mask over weights, with a random share 1 - `rate` of the weights that it leaves out added again."""
    masks = {}
    for name in {edge_map.parameter for edge_map in edge_maps(case.model)} & set(case.weights or {}):
        kept = (case.weights or {})[name]
        masks[name] = kept | (torch.rand(kept.shape, generator=generator).to(kept.device) >= rate)
    return masks


CHECK = Check(asks="Does the circuit still work when only part of the rest is ablated?", run=run)
