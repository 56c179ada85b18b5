"""What an ablated edge carries instead of its writer's output. A writer is the embedding, a head or an MLP.

- interchange: the writer's output at the same position of the pair's other prompt (the corrupted prompt);
- resample: the writer's output on a prompt of another pair of the batch, of equal or similar length;
- mean: the writer's mean output over prompts of the task (both sides, all positions up to the end of each prompt);
- zero: 0.

A counterfactual run is a `streams.Run` that holds these values for all writers. The clean run is the model's run on the
prompts themselves. Shapes: B rows, T positions, W writers, D d_model.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.components.config import INTERVENTIONS
from sparsegpt2.components.streams import HeadConstants, Recorder, Run, writer_outputs
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT

Intervention = Literal["interchange", "mean", "zero", "resample"]

FROM_PROMPTS = ("interchange", "resample")
"""Interventions whose values come from another prompt. With these, a component all of whose incoming edges are ablated
gives exactly its output on the other prompt, so ablating its outgoing edges as well changes nothing more."""


@torch.no_grad()
def record(model: GPT, tokens: Tensor) -> Run:
    """The output of every writer on `tokens` [B, T]."""
    recorder = Recorder(model)
    first = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
    model(tokens, position=first, streams=recorder)  # logits at one position are enough and save time
    return recorder.run


def counterfactual(model: GPT, batch: TaskBatch, intervention: str, *, means: Run | None = None, seed: int = 0) -> Run:
    """The counterfactual run for `batch`.

    means: the result of `writer_means`, required if the intervention is `mean`. seed: used by `resample`. `UserError`
    for an unknown intervention, or for a batch that the intervention cannot be used on.
    """
    if intervention == "interchange":
        return record(model, other_sides(batch))
    if intervention == "resample":
        return record(model, batch.tokens[resampled_rows(batch, seed).to(batch.tokens.device)])
    if intervention == "zero":
        return constants(model, torch.zeros(1 + model.config.n_layer * (model.config.n_head + 1), model.config.d_model))
    if intervention == "mean" and means is not None:
        return means
    raise UserError(f"intervention must be one of {', '.join(INTERVENTIONS)}, got {intervention!r}")


def other_sides(batch: TaskBatch) -> Tensor:
    """The tokens [B, T] with the two prompts of each pair exchanged."""
    if not torch.equal(batch.position[0::2], batch.position[1::2]):
        raise UserError(
            "interchange needs pairs whose two prompts have the same number of tokens; use resample or mean"
        )
    return batch.tokens.unflatten(0, (-1, 2)).flip(1).flatten(0, 1)


def resampled_rows(batch: TaskBatch, seed: int) -> Tensor:
    """For each row, the index of a row of another pair with a prompt of equal or similar length, int64 [B].

    Pairs are sorted by length, in random order among equal lengths. Each row takes a random side of the next pair in
    this order; rows of the last pair take a side of the first.
    """
    pairs = len(batch) // 2
    if pairs < 2:
        raise UserError("resample needs at least 2 pairs in a batch")
    generator = torch.Generator().manual_seed(seed)
    shuffled = torch.randperm(pairs, generator=generator)
    line = shuffled[batch.position[0::2].cpu()[shuffled].argsort(stable=True)]
    following = torch.empty_like(line)
    following[line] = line.roll(-1)
    sides = torch.randint(2, (pairs, 2), generator=generator)
    return (2 * following[:, None] + sides).flatten()


@torch.no_grad()
def writer_means(model: GPT, batches: Iterable[tuple[Tensor, Tensor]]) -> Run:
    """The mean output of every writer, as a counterfactual run of constants.

    batches: tokens [B, T] with position [B], the last position of each row that is included in the mean. Outputs are
    what the model adds to the residual stream, so they are taken after AbsTopK. They are summed in float64.
    """
    sums = torch.zeros(1 + model.config.n_layer * (model.config.n_head + 1), model.config.d_model, dtype=torch.float64)
    counted = 0
    for tokens, position in batches:
        inside = torch.arange(tokens.shape[1], device=tokens.device) <= position[:, None]  # [B, T]
        for place, output in writer_outputs(model, record(model, tokens)):
            sums[place] += output[inside].sum(dim=0, dtype=torch.float64).cpu()
        counted += int(inside.sum())
    return constants(model, (sums / counted).float())


def constants(model: GPT, outputs: Tensor) -> Run:
    """A run in which every writer's output is constant. outputs: [W, D], in the order of `ComponentGraph.writers`."""
    heads, run, place = model.config.n_head, Run(), 1
    outputs = outputs.to(model.wte.weight.device)
    run["emb"] = outputs[None, :1]  # [1, 1, D]
    for layer in range(model.config.n_layer):
        run[f"a{layer}"] = HeadConstants(outputs[place : place + heads])
        run[f"m{layer}"] = outputs[None, place + heads : place + heads + 1]
        place += heads + 1
    return run
