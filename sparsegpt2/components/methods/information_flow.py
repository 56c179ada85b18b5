"""Information flow routes: keep an edge when its share of what the reader reads is large (Ferrando & Voita 2024).

The paper is "Information Flow Routes: Automatically Interpreting Language Models at Scale". The method needs one
forward pass and neither counterfactual prompts nor gradients. A reader reads the sum x of all earlier writers' outputs.
The proximity of a writer's output y is max(0, |x|_1 - |x - y|_1), where |x|_1 is the sum of the magnitudes of x. The
share of y is its proximity divided by the sum of all writers' proximities. (Ferrando et al. 2022, "Measuring the Mixing
of Contextual Information in the Transformer", introduced this measure, ALTI.) Shares are averaged over rows and over
the positions of each prompt; for the logits, only the last position counts. The paper follows single positions through
each head's attention, from the last token of one prompt. Here the graph has components but no positions, so each edge
has one share. The q, k and v inputs of all heads of a layer read the same sum, so they get the same shares. The bias of
c_proj is part of x but belongs to no writer.

Shapes: B rows, T positions, W writers (docs/definitions.md, Writer and reader).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sparsegpt2.components.discovery import Discovery, by_rank
from sparsegpt2.components.problem import Part, Problem
from sparsegpt2.components.streams import Recorder, writer_outputs
from sparsegpt2.progress import Progress

OBJECTIVE = "kl"  # every method must name one, but this method does not use it


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Information flow routes have no settings of their own."""


class Shares(Recorder):
    """A recorder that also computes the share of every earlier writer in the input of each sublayer.

    shares: name of the sublayer -> [W]. All readers of a sublayer have the same input, so only the first is measured.
    """

    def __init__(self, problem: Problem, part: Part) -> None:
        super().__init__(problem.model)
        self.writers = len(problem.graph.writers)
        position = part.batch.position[:, None]
        places = torch.arange(part.batch.tokens.shape[1], device=position.device)
        self.inside, self.last = places <= position, places == position  # [B, T]
        self.shares: dict[str, Tensor] = {}

    def read(self, reader: str, x: Tensor) -> Tensor:
        place = sublayer_of(reader)
        if place not in self.shares:
            near = torch.zeros(self.writers, *x.shape[:2], device=x.device)  # [W, B, T], one number per output
            for writer, output in writer_outputs(self.model, self.run):
                near[writer] = (x.abs().sum(-1) - (x - output).abs().sum(-1)).clamp(min=0)
            shares = near / near.sum(dim=0).clamp(min=1e-12)
            where = self.last if place == "logits" else self.inside
            self.shares[place] = shares[:, where].mean(dim=1)
        return x


def sublayer_of(reader: str) -> str:
    """The sublayer of a reader: `a0` for `a0.h1.q`. For MLPs and the logits it is the name of the reader itself."""
    return reader.split(".")[0]


@torch.no_grad()
def discover(problem: Problem, settings: Settings, progress: Progress | None = None) -> Discovery:
    """Rank edges by their share of the reader's input."""
    trial = problem.trial("train", problem.config.pairs, problem.config.seed)
    scores = torch.zeros_like(problem.everything())
    for part in trial.parts:
        shares = Shares(problem, part)
        problem.run(part, shares)
        by_reader = torch.stack([shares.shares[sublayer_of(reader)] for reader in problem.graph.readers], dim=1)
        scores += by_reader * len(part.batch) / len(trial)
    if progress is not None:
        progress(1, 1, "information flow")
    return by_rank(problem, scores.cpu() * problem.graph.present)
