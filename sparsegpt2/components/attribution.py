"""Edge scores from gradients, for the methods EAP (edge attribution patching) and EAP-IG (with integrated gradients).

The score of the edge from writer w to reader r (docs/definitions.md, Writer and reader) is the sum over positions of
(y~_w - y_w) * dL/dx_r, averaged over rows. Here y_w is the output of w, y~_w its counterfactual output, x_r the input
of r and L the objective. To first order, the score is how much L rises when only this edge carries the counterfactual
value (Syed et al. 2023, "Attribution Patching Outperforms Automated Circuit Discovery"). Each reader gets its own copy
of the residual stream, and a hook on the copy's gradient computes the products during the backward pass. So gradients
are never stored for all readers at once.

Shapes: B rows, T positions, D d_model, H heads of a layer, A channels of all heads of a layer together, W writers, R
readers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.components.counterfactual import record
from sparsegpt2.components.objectives import damage
from sparsegpt2.components.problem import Problem, Trial
from sparsegpt2.components.streams import HeadConstants, HeadRun, Run, Written
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.sites import Site


class EdgeGradients:
    """A streams object (`model.sites.Streams`) that computes gradient times output difference for every edge.

    The products are computed during the backward pass.

    clean: the recorded run on the prompts themselves. other: the counterfactual run. scores: [W, R], sums over rows.
    """

    def __init__(self, problem: Problem, clean: Run, other: Run) -> None:
        self.model, self.graph = problem.model, problem.graph
        self.clean, self.other = clean, other
        self.scores = torch.zeros(len(self.graph.writers), len(self.graph.readers), device=problem.device)
        self.earlier: list[str] = []

    def wrote(self, writer: str, delta: Tensor, heads: Tensor | None = None) -> None:
        self.earlier.append(writer)

    def read(self, reader: str, x: Tensor) -> Tensor:
        own = x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
        column, earlier = self.graph.reader_index[reader], list(self.earlier)

        def collect(gradient: Tensor) -> None:
            for writer in earlier:
                clean, other = self.clean[writer], self.other[writer]
                difference = _product(self.model, writer, other, gradient) - _product(
                    self.model, writer, clean, gradient
                )
                self.scores[self.graph.block_writers[writer], column] += difference

        own.register_hook(collect)
        return own


def _product(model: GPT, writer: str, written: Written, gradient: Tensor) -> Tensor:
    """Inner product of a gradient [B, T, D] with a sublayer's output: [1], or [H] for the heads of a layer."""
    if isinstance(written, Tensor):
        return (gradient * written).sum()[None]
    if isinstance(written, HeadConstants):
        return written.outputs @ gradient.sum(dim=(0, 1))
    assert isinstance(written, HeadRun)
    if written.kept is not None:
        gradient = gradient * written.kept
    at_heads = gradient @ model.layers[int(writer[1:])].attn.c_proj.weight  # [B, T, A]
    by_channel = (at_heads * written.heads).sum(dim=(0, 1))  # [A]
    return by_channel.unflatten(0, (model.config.n_head, model.config.d_head)).sum(dim=1)


def edge_attributions(problem: Problem, trial: Trial, steps: int) -> Tensor:
    """Mean over rows of each edge's score, [W, R], with the gradient averaged over `steps` points.

    At point s (1 to `steps`), the embedding is s / `steps` of the way from the counterfactual embedding to the clean
    one (Hanna et al. 2024, "Have Faith in Faithfulness", EAP-IG on inputs). With one step the only point is the clean
    run, and the method is EAP. The output differences are always those between the counterfactual and the clean run.
    """
    total = torch.zeros_like(problem.everything())
    rows = torch.arange(len(trial), device=trial.full.device).split([len(part.batch) for part in trial.parts])
    for part, place in zip(trial.parts, rows, strict=True):
        clean = record(problem.model, part.batch.tokens)
        embedding = part.other["emb"]
        assert isinstance(embedding, Tensor)
        for step in range(1, steps + 1):
            gradients = EdgeGradients(problem, clean, part.other)
            with torch.enable_grad():
                logits = problem.run(part, gradients, site=_between(embedding, step / steps))
                damage(problem.objective, logits, trial.full[place], part.batch).sum().backward()
            total += gradients.scores / (steps * len(trial))
    return total


def _between(embedding: Tensor, share: float) -> Site:
    """A site object that replaces the embedding x by the point `share` of the way from `embedding` to x."""
    return lambda name, x: torch.lerp(embedding, x, share) if name == "embed" else x
