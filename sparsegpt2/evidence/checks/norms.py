"""Norm statistics: does the circuit need norm scales that differ from the whole model's?

RMSNorm divides the residual stream by its root mean square. With most nodes ablated, the root mean square is smaller or
larger than in the whole model, so a signal in the circuit can be stronger than it ever is in the whole model. In this
check every norm, including the one before the logits, divides by the same number as in the whole model on the same
prompt and position.

The ordinary forward pass is used for this. The residual stream can be seen at the sites `embed` and `*.resid_post`.
RMSNorm with another scale equals RMSNorm times the ratio of the scales, and multiplying all channels by one number does
not change which of them AbsTopK keeps. So the check is exact for RMSNorm. It is not run for other norms.

Shapes: B rows (two per pair), T positions.
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
    """A site object that records, in `found`, the scale 1 / RMS that each norm multiplies the residual stream by.

    found: name of the site after the norm -> scales, [B, T, 1]. For the last norm they are [B, 1], because it is
    computed only at each prompt's last token. position: index of that token, [B]. wanted: scales that another run
    found. If they are given, every norm uses them instead of its own.
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
    """The loss with the whole model's scales decides. The ratio of the last norm's scales is only shown."""
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
        says=f"with the whole model's norm scales the loss is {numbers['frozen']}, with the circuit's own scales it is "
        f"{numbers['recomputed']}; the bar is {bar:.3f}",
        numbers=numbers,
        details={"bar": bar},
    )


CHECK = Check(asks="Does the circuit need norm scales that differ from the whole model's?", run=run)
