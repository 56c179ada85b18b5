"""Calibrate a circuit's logits with one scale, and with a shift for each answer token (paper, appendix A.5).

Each answer token has its own shift, because adding the same number to all logits does not change a softmax. The paper's
authors doubt that calibration is principled. So it is off by default (the pruning setting `calibrate`), and results say
whether it was on. Shapes: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sparsegpt2.plain import check


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Maps logits to scale * logits + shift. Only answer tokens have a shift."""

    scale: float
    shifts: dict[int, float]
    """Token id -> number added to its scaled logit."""

    def apply(self, logits: Tensor) -> Tensor:
        """The calibrated logits, [B, V], for logits [B, V]."""
        scaled = logits * self.scale
        for token, shift in self.shifts.items():
            scaled[:, token] += shift
        return scaled

    def to_dict(self) -> dict[str, Any]:
        """The calibration as plain values for a circuit file."""
        return {"scale": self.scale, "shifts": {str(token): shift for token, shift in self.shifts.items()}}

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`; `UserError` for anything else."""
        check(values, dict[str, float | dict[str, float]], "the calibration of a circuit")
        return Calibration(
            scale=float(values["scale"]),
            shifts={int(token): float(shift) for token, shift in values["shifts"].items()},
        )


def fit_calibration(
    logits: Tensor, tokens: Tensor, loss_of: Callable[[Tensor], Tensor], *, steps: int = 16
) -> Calibration:
    """Fit a calibration with `steps` steps of L-BFGS, starting from scale 1 and no shifts, in float64.

    logits: [B, V], treated as constants. tokens: ids of the answer tokens, of any shape; repeated and negative ids are
    ignored. loss_of: calibrated logits [B, V] -> the scalar to minimise.
    """
    logits = logits.detach().double()
    answer_tokens = tokens.unique()
    answer_tokens = answer_tokens[answer_tokens >= 0]
    scale = torch.ones((), dtype=torch.float64, device=logits.device, requires_grad=True)
    shifts = torch.zeros(len(answer_tokens), dtype=torch.float64, device=logits.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shifts], max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of((logits * scale).index_add(1, answer_tokens, shifts.expand(len(logits), -1)))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    fitted = dict(zip(answer_tokens.tolist(), shifts.detach().tolist(), strict=True))
    return Calibration(scale=float(scale.detach()), shifts=fitted)
