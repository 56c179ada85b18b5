"""Sufficiency: does the circuit do the task with everything else ablated?

The nodes outside the circuit are ablated in three ways (docs/definitions.md, Other ablations; Chan et al. 2022, "Causal
scrubbing"):
- mean: each node has its mean over pretraining text, as when the circuit was found;
- zero: each node is 0;
- resample: each node has its value at the same position of a random window of pretraining text. All nodes of a row use
  the same window. If the circuit has a mask over weights, an edge that the mask leaves out carries its source's value
  at one random token. This token is the same for all rows of a draw, because a removed edge changes a bias, and a bias
  is the same for all rows.

Shapes: B rows (two per pair).
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.ablations import Resample, zero_ablation
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import all_of, at_most, mean_over_draws, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress

ROWS = 64
"""Number of rows in one forward pass with resampling. It is small because the values of all nodes on the random windows
are held in RAM or GPU memory."""


def run(case: Case, progress: Progress) -> Finding:
    """Measure the loss under each ablation. The losses under mean and resample decide.

    Zero is only shown, because models are not trained to work with nodes that are 0.
    """
    zeros = zero_ablation(case.model)
    zero = case.losses(case.nodes, weights=case.weights, ablation=zeros, calibrated=True)[0]
    generator = case.generator("resample")
    draws = []
    for draw in range(case.config.draws):
        draws.append(resampled_loss(case, generator))
        progress(draw + 1, case.config.draws, "resampling")
    numbers = {
        "full": mean_over_pairs(case.full_loss),
        "mean": mean_over_pairs(case.circuit_loss),
        "zero": mean_over_pairs(zero),
        "resample": mean_over_draws(torch.stack(draws)),
    }
    bar = case.bar()
    return Finding(
        verdict=all_of(at_most(numbers[name], bar) for name in ("mean", "resample")),
        says=f"loss {numbers['mean']} under mean, {numbers['resample']} under resample and {numbers['zero']} under "
        f"zero ablation of the rest; the bar is {bar:.3f}, the whole model has {numbers['full']}",
        numbers=numbers,
        details={"bar": bar, "text": case.text_source},
    )


@torch.no_grad()
def resampled_loss(case: Case, generator: torch.Generator) -> Tensor:
    """The circuit's loss on each test row, [B], with all other nodes resampled from random windows of text."""
    return case.ablated(ablation=Resample(case.model, case.text, generator)).losses(case.batch, ROWS)


CHECK = Check(asks="Does the circuit do the task with everything else ablated?", run=run)
