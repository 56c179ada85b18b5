"""Norm statistics: does the circuit need norm scales that differ from the whole model's?

RMSNorm divides the residual stream by its root mean square. With most nodes ablated, that is smaller or larger than in
the whole model, so a circuit's signals can be stronger than they ever are there. Here every norm, including the one
before the logits, divides by the same number as in the whole model, on the same prompt and position.

This needs no special forward. The residual stream is seen at the sites `embed` and `*.resid_post`. RMSNorm with another
scale equals RMSNorm times the ratio of the scales, and multiplying all channels by a number does not change which ones
AbsTopK keeps. So the check is exact for RMSNorm; it is not run for other norms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.ablations import Behind
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.estimate import at_most, mean_over_pairs
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.progress import Progress


class Scales:
    """A site object that records 1 / RMS of the residual stream before each norm in `found`: site after it -> [..., 1].

    wanted: earlier `found` scales; then every norm uses those instead of its own.
    """

    def __init__(self, eps: float, position: Tensor, wanted: dict[str, Tensor] | None = None) -> None:
        self.eps, self.position, self.wanted = eps, position, wanted
        self.found: dict[str, Tensor] = {}
        self.current: Tensor | None = None

    def __call__(self, name: str, x: Tensor) -> Tensor:
        if name == "embed" or name.endswith("resid_post"):
            self.current = torch.rsqrt(x.float().square().mean(dim=-1, keepdim=True) + self.eps)  # [B, T, 1]
        elif name.endswith("act_in"):
            assert self.current is not None  # every norm comes after a site of the residual stream
            rows = torch.arange(len(self.current), device=x.device)
            self.found[name] = self.current[rows, self.position] if name == "final.act_in" else self.current
            if self.wanted is not None:
                return (x * (self.wanted[name] / self.found[name])).to(x.dtype)
        return x


def run(case: Case, progress: Progress) -> Finding:
    """The loss with the whole model's scales decides; the ratio of the last norm's scales is shown."""
    if case.model.config.norm != "rms":
        return Finding(verdict="not run", says=f"the model's norm is {case.model.config.norm!r}, not 'rms'")
    eps, position = case.model.config.norm_eps, case.batch.position
    full, own = Scales(eps, position), Scales(eps, position)
    with torch.no_grad():
        Ablated(case.model, through=full).logits(case.batch, rows=None)
        case.ablated(ablation=Behind(own, case.mean)).logits(case.batch, rows=None)
        held = Behind(Scales(eps, position, full.found), case.mean)
        frozen_loss = case.ablated(ablation=held).losses(case.batch, rows=None)
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


CHECK = Check(asks="Does the circuit need norm scales that differ from the whole model's?", run=run)
