"""Sufficiency: does the circuit do the task with everything else ablated?

The rest is ablated in three ways (docs/definitions.md, Other ablations; Chan et al. 2022 "Causal scrubbing"):
- mean: each node outside is its mean over pretraining text, as when the circuit was found;
- zero: each is 0;
- resample: each is its value at the same position of a random window of pretraining text, one window per row for all
  nodes. An edge that a mask over weights leaves out carries its source's value at one random token instead, drawn once
  per draw, because it is folded into a bias, which is constant.
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
"""Rows resampled in one forward pass; few, because all nodes of their text are held in RAM or GPU memory."""


def run(case: Case, progress: Progress) -> Finding:
    """Loss under each ablation; mean and resample decide. Zero is only shown, as models are not trained with zeros."""
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
    """The circuit's loss on each test row [B] with the rest taken from random windows of text."""
    return case.ablated(ablation=Resample(case.model, case.text, generator)).losses(case.batch, ROWS)


CHECK = Check(asks="Does the circuit do the task with everything else ablated?", run=run)
