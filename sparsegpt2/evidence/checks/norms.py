"""Norm statistics: does the circuit need a scale of its own from RMSNorm?

RMSNorm divides the residual stream by its root mean square. With most nodes ablated that is smaller or larger than in
the whole model, so a circuit's signals can be stronger than they ever are there. Here every norm (that before the
logits too) divides by what it divided by in the whole model, on the same prompt and position.

No second forward: the residual stream passes the sites `embed` and `*.resid_post`, and RMSNorm with another scale is
RMSNorm times the ratio of scales, which AbsTopK does not mind. So it is exact for RMSNorm; other norms are not judged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.gates import MeanAblation, frozen
from sparsegpt2.circuits.score import answer_logits
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_most, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.model.sites import Chain
from sparsegpt2.progress import Progress


class Scales:
    """A site object that notes 1 / RMS of the residual stream before each norm, [..., 1] by the site after it.

    Given earlier scales it makes every norm use those instead of its own.
    """

    def __init__(self, eps: float, position: Tensor, wanted: dict[str, Tensor] | None = None) -> None:
        self.eps, self.position, self.wanted = eps, position, wanted
        self.found: dict[str, Tensor] = {}
        self.current: Tensor | None = None

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name == "embed" or name.endswith("resid_post"):
            self.current = torch.rsqrt(x.float().square().mean(dim=-1, keepdim=True) + self.eps)  # [B, T, 1]
        elif name.endswith("act_in"):
            assert self.current is not None  # the residual stream comes by before every norm
            rows = torch.arange(len(self.current), device=x.device)
            self.found[name] = self.current[rows, self.position] if name == "final.act_in" else self.current
            if self.wanted is not None:
                return (x * (self.wanted[name] / self.found[name])).to(x.dtype)
        return x


def run(case: Case, progress: Progress) -> Finding:
    """Loss with the whole model's scales decides; beside it how far the circuit's own scales are from them."""
    if case.model.config.norm != "rms":
        return Finding(verdict="not run", says=f"the model's norm is {case.model.config.norm!r}, not 'rms'")
    eps, position = case.model.config.norm_eps, case.batch.position
    full, own = Scales(eps, position), Scales(eps, position)
    with frozen(case.model, torch.float32), torch.no_grad():
        answer_logits(case.model, case.batch, full)
    ablation = MeanAblation(case.nodes, case.means)
    case.losses_through(Chain(own, ablation))
    frozen_loss = case.losses_through(Chain(Scales(eps, position, full.found), ablation))
    ratio = (own.found["final.act_in"] / full.found["final.act_in"]).flatten()  # [B]
    numbers = {
        "recomputed": mean_over_pairs(case.circuit_loss),
        "frozen": mean_over_pairs(frozen_loss),
        "scale of the last norm, circuit : model": mean_over_pairs(ratio),
    }
    progress(1, 1, "norms")
    bar = case.bar()
    return Finding(
        verdict=at_most(numbers["frozen"], bar),
        says=f"with the whole model's norm scales the loss is {numbers['frozen']}, with its own "
        f"{numbers['recomputed']}; the bar is {bar:.3f}",
        numbers=numbers,
        details={"bar": bar},
    )


CHECK = Check(asks="Does the circuit need a norm scale of its own?", run=run)
