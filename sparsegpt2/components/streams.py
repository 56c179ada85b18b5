"""Interventions on edges during the model's own forward pass: each reader gets its own mix of the writers' outputs.

A reader r reads the sum over earlier writers w of z_wr * y_w + (1 - z_wr) * y~_w. Here z_wr is the mask of the edge,
y_w the output of w in the current run and y~_w its output in the counterfactual run (Bhaskar et al. 2024, "Finding
Transformer Circuits with Edge Pruning", section 3). The outputs of heads are never stored as [W, B, T, D]. Instead the
input of c_proj is stored for all heads of a layer, [B, T, A], and a mix of heads is one product with c_proj.
docs/components.md reports the time and memory that this takes. The interventions are streams objects
(`model.sites.Streams`). A streams object is passed to one forward pass, which calls its method `read` at every read of
the residual stream and `wrote` at every write.

Shapes: N masks, B rows, T positions, D d_model, H heads of a layer, A channels of all heads of a layer together, W
writers, R readers (docs/definitions.md, Writer and reader). N masks are run in one batch of N groups, one after the
other. Each group has the same B rows.
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
    """[B, T, A]: the input of c_proj."""
    kept: Tensor | None
    """Bool [B, T, D]: the channels of the heads' sum that AbsTopK kept; None if the model has no AbsTopK there."""


@dataclass(frozen=True)
class HeadConstants:
    """Constants that replace what the heads of a layer write."""

    outputs: Tensor
    """[H, D]: the output of each head, the same for every row and position."""


Written = Tensor | HeadRun | HeadConstants
"""What one sublayer wrote. For `emb` and MLPs, a tensor [B, T, D], or [1, 1, D] if it is a constant; for attention, one
of the two classes above."""

Run = dict[str, Written]
"""Name of each sublayer (`emb`, `a0`, `m0`, `a1`, ...) -> what it wrote in one run of the model, in forward order."""


def as_written(model: GPT, delta: Tensor, heads: Tensor | None) -> Written:
    """Convert the arguments of `Streams.wrote` to the form stored in a `Run`."""
    if heads is None:
        return delta
    acts = model.config.keep_at("attn.resid_delta") is not None
    return HeadRun(heads, delta != 0 if acts else None)


class Recorder:
    """A streams object that stores what every sublayer wrote, without gradients, in its attribute `run`.

    It changes nothing: readers read the model's own residual stream.
    """

    def __init__(self, model: GPT) -> None:
        self.model = model
        self.run: Run = {}

    def read(self, reader: str, x: Tensor) -> Tensor:
        return x

    def wrote(self, writer: str, delta: Tensor, heads: Tensor | None = None) -> None:
        self.run[writer] = as_written(self.model, delta.detach(), None if heads is None else heads.detach())


class EdgeMix:
    """A streams object that gives every reader a mix of this run's outputs and the counterfactual ones.

    kept: the mask z over edges, [W, R], [N, W, R] or, with a mask for each row, [N, B, W, R], of any real dtype. other:
    the counterfactual run with B rows, which is used for all N masks.

    If z is 1 for all edges, readers read exactly this run's residual stream, bit for bit. If z is 0 for all edges, they
    read the residual stream of the counterfactual run. The second statement has an exception. If AbsTopK acts on the
    attention's output, the bias of c_proj passes only through the channels that AbsTopK kept in this run.
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
        for writer, own in self.run.items():  # forward order, so that sums round as in the plain forward
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
        """The mixed output of a layer's heads, [N, B, T, D].

        share: the mask's values for these heads, [N, B or 1, H]. The bias of c_proj belongs to no head and is always
        added.
        """
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
    """Yield the output of each head of a layer, [B, T, D]. The bias of c_proj belongs to no head and is left out."""
    width, weight = model.config.d_head, model.layers[layer].attn.c_proj.weight.detach()
    for head in range(model.config.n_head):
        channels = slice(head * width, (head + 1) * width)
        output = run.heads[..., channels] @ weight[:, channels].T
        yield output if run.kept is None else output * run.kept


def writer_outputs(model: GPT, run: Run) -> Iterator[tuple[int, Tensor]]:
    """Yield (index of the writer, its output [B, T, D]) for every writer of a recorded run."""
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
