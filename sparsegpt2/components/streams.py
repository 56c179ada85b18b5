"""Interventions on edges through the one forward: each reader gets its own mix of earlier writers' outputs.

What a reader r reads is the sum over earlier writers w of z_wr * y_w + (1 - z_wr) * y~_w: y from the run at hand, y~
counterfactual (Bhaskar et al. 2024, "Finding Transformer Circuits with Edge Pruning", section 3). The outputs of heads
are never stored as [W, B, T, D]: a head's output is its part of what goes into c_proj, so a layer's heads are kept as
[B, T, A] and a mix of them is one product with c_proj. Cost: see docs/components.md.

Shapes: N masks at once (the batch is then N groups of B rows, one after the other), B rows, T positions, D d_model,
A heads * head width, H heads, W writers, R readers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sparsegpt2.components.graph import ComponentGraph
from sparsegpt2.model.gpt import GPT


@dataclass(frozen=True)
class HeadRun:
    """What the heads of a layer wrote in a run."""

    heads: Tensor
    """[B, T, A]: what goes into c_proj."""
    kept: Tensor | None
    """Bool [B, T, D]: the channels that AbsTopK left of their sum; None where it does not act."""


@dataclass(frozen=True)
class HeadConstants:
    """Constants in the place of what the heads of a layer write."""

    outputs: Tensor
    """[H, D]."""


Written = Tensor | HeadRun | HeadConstants
"""Of `emb` and MLPs [B, T, D], or [1, 1, D] for a constant; of attention the two classes above."""

Run = dict[str, Written]
"""What was written in a run, by the forward's name of the writer: `emb`, `a0`, `m0`, `a1`, ..."""


def as_written(model: GPT, delta: Tensor, heads: Tensor | None) -> Written:
    """What the forward tells of a writer, as kept here."""
    if heads is None:
        return delta
    acts = model.config.keep_at("attn.resid_delta") is not None
    return HeadRun(heads, delta != 0 if acts else None)


class Recorder:
    """Keeps what every writer wrote: `record.run`, detached. Readers read the residual stream as it is."""

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.run: Run = {}

    def read(self, reader: str, x: Tensor) -> Tensor:
        return x

    def wrote(self, writer: str, delta: Tensor, heads: Tensor | None = None) -> None:
        self.run[writer] = as_written(self.model, delta.detach(), None if heads is None else heads.detach())


class EdgeMix:
    """Mixes for every reader the outputs of this run and counterfactual ones, by a mask over edges.

    kept: z, [W, R], [N, W, R] or, with a mask for each row, [N, B, W, R], of any real dtype. other: the counterfactual
    run; its rows are those of one group.
    With z = 1 a reader reads the residual stream bit for bit, with z = 0 that of the counterfactual run (where AbsTopK
    acts on the attention's output: up to rounding, as the bias of c_proj then passes with the channels kept here).
    """

    def __init__(self, model: GPT, graph: ComponentGraph, kept: Tensor, other: Run) -> None:
        self.model, self.graph, self.other = model, graph, other
        kept = kept.to(torch.float32)
        self.kept = kept if kept.ndim == 4 else kept.reshape(-1, 1, *kept.shape[-2:])  # [N, B or 1, W, R]
        self.run: Run = {}

    def wrote(self, writer: str, delta: Tensor, heads: Tensor | None = None) -> None:
        self.run[writer] = as_written(self.model, delta, heads)

    def read(self, reader: str, x: Tensor) -> Tensor:
        z = self.kept[..., self.graph.reader_index[reader]]  # [N, B or 1, W]
        total: Tensor | None = None
        for writer, own in self.run.items():  # in forward order, so that sums round as in the plain forward
            share = z[..., self.graph.block_writers[writer]]  # [N, B or 1, 1] or [N, B or 1, H]
            term = self._mix(writer, own, self.other[writer], share)  # [N, B, T, D]
            total = term if total is None else total + term
        assert total is not None
        return total.flatten(0, 1)

    def _mix(self, writer: str, own: Written, other: Written, share: Tensor) -> Tensor:
        if isinstance(own, HeadRun):
            return self._mix_heads(int(writer[1:]), own, other, share)
        assert isinstance(own, Tensor) and isinstance(other, Tensor)
        return torch.lerp(other, own.unflatten(0, (len(share), -1)), share[..., None])

    def _mix_heads(self, layer: int, own: HeadRun, other: Written, share: Tensor) -> Tensor:
        """share [N, B or 1, H] -> [N, B, T, D]; the bias of c_proj is no head's and always passes."""
        project = self.model.layers[layer].attn.c_proj
        heads = own.heads.unflatten(0, (len(share), -1))  # [N, B, T, A]
        each = share.repeat_interleave(self.model.config.d_head, dim=-1)[:, :, None]  # [N, B or 1, 1, A]
        if isinstance(other, HeadRun) and own.kept is None:
            return F.linear(torch.lerp(other.heads, heads, each), project.weight, project.bias)
        mixed = F.linear(heads * each, project.weight, project.bias)
        if own.kept is not None:
            mixed = mixed * own.kept.unflatten(0, (len(share), -1))
        if isinstance(other, HeadConstants):
            return mixed + ((1 - share) @ other.outputs)[:, :, None]
        assert isinstance(other, HeadRun) and other.kept is not None
        return mixed + F.linear(other.heads * (1 - each), project.weight) * other.kept


def head_outputs(model: GPT, layer: int, run: HeadRun) -> Iterator[Tensor]:
    """What each head of a layer writes, [B, T, D], one after the other; the bias of c_proj belongs to none."""
    width, weight = model.config.d_head, model.layers[layer].attn.c_proj.weight.detach()
    for head in range(model.config.n_head):
        channels = slice(head * width, (head + 1) * width)
        output = run.heads[..., channels] @ weight[:, channels].T
        yield output if run.kept is None else output * run.kept


def writer_outputs(model: GPT, run: Run) -> Iterator[tuple[int, Tensor]]:
    """(place among the writers, output [B, T, D]) of every writer of a recorded run, one at a time."""
    place = 0
    for writer, written in run.items():
        if isinstance(written, HeadRun):
            outputs: Iterator[Tensor] = head_outputs(model, int(writer[1:]), written)
        else:
            assert isinstance(written, Tensor)
            outputs = iter([written])
        for output in outputs:
            yield place, output
            place += 1
