"""Completeness: when parts of the circuit are knocked out, do circuit and model fail to the same degree?

A circuit that lacks a backup or a parallel path of the model fails where the model still works (Wang et al. 2022,
"Interpretability in the Wild", section 4.2). Let C be the circuit and M the whole model. Random subsets K of the
circuit's nodes are mean-ablated in both, which leaves C \\ K and M \\ K. For each K the gap is
|loss(C \\ K) - loss(M \\ K)|, where each loss is a mean over pairs. The result is the mean gap over the subsets.

Shapes: R random subsets, B rows (two per pair).
"""

from __future__ import annotations

import torch

from sparsegpt2.evidence.case import Case, stack_masks
from sparsegpt2.evidence.estimate import at_most, mean_of, mean_over_draws
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


def run(case: Case, progress: Progress) -> Finding:
    """The mean gap over knockouts of all sizes decides."""
    generator = case.generator("completeness")
    numbers, gaps = {}, []
    for done, share in enumerate(case.config.knockouts, 1):
        dropped = [case.random_nodes(share, case.nodes, generator) for _ in range(case.config.draws)]
        inside = [{site: case.nodes[site] & ~mask for site, mask in drop.items()} for drop in dropped]
        outside = [{site: ~mask for site, mask in drop.items()} for drop in dropped]
        circuit = case.losses(stack_masks(inside), weights=case.weights, calibrated=True)  # [R, B]
        model = case.losses(stack_masks(outside))
        gap = (circuit.mean(dim=1) - model.mean(dim=1)).abs()
        gaps.append(gap)
        numbers[f"circuit, {share:g} knocked out"] = mean_over_draws(circuit)
        numbers[f"model, {share:g} knocked out"] = mean_over_draws(model)
        numbers[f"gap, {share:g} knocked out"] = mean_of(gap, "draws")
        progress(done, len(case.config.knockouts), "completeness")
    numbers["gap"] = mean_of(torch.cat(gaps), "draws")
    bar = case.config.completeness_gap
    return Finding(
        verdict=at_most(numbers["gap"], bar),
        says=f"after the same knockouts, circuit and model differ by {numbers['gap']} nats; the bar is {bar:g}",
        numbers=numbers,
        details={"bar": bar},
    )


CHECK = Check(asks="When parts of the circuit are knocked out, do circuit and model fail to the same degree?", run=run)
