"""Sufficiency: does the circuit do the task with everything else ablated?

Three ways to take the rest away (docs/definitions.md, Other ablations; Chan et al. 2022 "Causal scrubbing"):
- mean: each node outside is its mean over pretraining text, as when the circuit was found;
- zero: each is 0;
- resample: each is what it was at the same position of a window of pretraining text, one window a row for all nodes.
  An edge left out of a mask over weights carries one token's value of its source instead, drawn once a draw, as a
  folded bias can hold no more.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.score import answer_logits, task_loss
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import all_of, at_most, mean_over_draws, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.model.sites import Record
from sparsegpt2.progress import Progress

ROWS = 64
"""Rows resampled at once: their text's nodes are all in memory."""


class Resample:
    """A site object: nodes outside `kept` (site -> bool [C]) take the values recorded for their row [B, T, C]."""

    def __init__(self, kept: dict[str, Tensor], values: dict[str, Tensor]) -> None:
        self.kept, self.values = kept, values

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name not in self.kept:
            return x
        return torch.where(self.kept[name], x, self.values[name][:, : x.shape[1]])


def run(case: Case, progress: Progress) -> Finding:
    """Loss under each ablation; mean and resample decide, zero is shown (no model was trained to bear zeros)."""
    zeros = {site: torch.zeros_like(mean) for site, mean in case.means.items()}
    zero = case.losses(case.nodes, weights=case.weights, fill=zeros, calibrated=True)[0]
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
    length = case.text.shape[1]
    window, place = (int(torch.randint(size, (1,), generator=generator)) for size in case.text.shape)
    losses = torch.empty(len(case.batch), device=case.device)
    with frozen(case.model, torch.float32):
        one = Record(case.sites)
        case.model(case.text[window : window + 1, : place + 1], site=one)
        token = {site: value[0, -1] for site, value in one.values.items()}
        parameters = case.edge_parameters(token)
        for rows, part in case.batch.by_length(ROWS):
            windows = torch.randint(len(case.text), (len(part),), generator=generator)
            record = Record(case.sites)
            case.model(case.text[windows.to(case.device), : min(length, int(part.position.max()) + 1)], site=record)
            logits = answer_logits(case.model, part, Resample(case.nodes, record.values), parameters=parameters)
            losses[rows] = task_loss(case.calibrate(logits), part)
    return losses


CHECK = Check(asks="Does the circuit do the task with everything else ablated?", run=run)
