"""Numbers with their sampling errors, and verdicts from comparing them with a threshold.

Shapes: B rows (two per pair), P pairs, R draws.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sparsegpt2.errors import UserError

Verdict = Literal["holds", "fails", "unclear", "not run"]
"""`unclear` means that the number is within two standard errors of the threshold."""


@dataclass(frozen=True)
class Estimate:
    """A mean and its standard error."""

    value: float
    error: float | None
    """Standard error of `value`; None if it was measured only once."""
    n: int
    """Number of values averaged."""
    over: str
    """What was averaged over: pairs, draws, nodes, seeds ..."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and math.isfinite(self.error or 0)):
            raise UserError("the model gives numbers that are not finite: its weights or node means contain NaN")

    def __str__(self) -> str:
        return f"{self.value:.3f}" if self.error is None else f"{self.value:.3f} ± {self.error:.3f}"


def mean_of(values: Tensor | Iterable[float], over: str) -> Estimate:
    """Mean of independent values [N], with the standard error of the mean."""
    table = values.double() if isinstance(values, Tensor) else torch.tensor(list(values), dtype=torch.float64)
    error = float(table.std() / math.sqrt(len(table))) if len(table) > 1 else None
    return Estimate(float(table.mean()), error, len(table), over)


def mean_over_pairs(by_row: Tensor) -> Estimate:
    """Mean of one number per row, [B]. The two rows of a pair count together as one independent value."""
    return mean_of(by_row.double().view(-1, 2).mean(dim=1), "pairs")


def mean_over_draws(by_row: Tensor) -> Estimate:
    """Mean over R random draws and B rows, [R, B], with a standard error that includes both sources of variation.

    Every draw is measured on the same P pairs. The squared error is var(means of draws) / R + var(means of pairs) / P.
    Both terms contain (residual variance) / (R P), so this is subtracted once. The residual variance is what the means
    of draws and of pairs do not explain. The squared error is never below the larger of the two terms.
    """
    table = by_row.double().unflatten(1, (-1, 2)).mean(dim=2)  # [R, P]
    draws, pairs = table.shape
    if draws == 1:
        return mean_over_pairs(by_row[0])
    if pairs == 1:
        return mean_of(table[:, 0], "draws")
    from_draws, from_pairs = float(table.mean(1).var()) / draws, float(table.mean(0).var()) / pairs
    residual = table - table.mean(1, keepdim=True) - table.mean(0, keepdim=True) + table.mean()
    shared = float(residual.square().sum()) / ((draws - 1) * (pairs - 1)) / (draws * pairs)
    variance = max(from_draws, from_pairs, from_draws + from_pairs - shared)
    return Estimate(float(table.mean()), math.sqrt(variance), draws, "draws")


def jackknife(values: Tensor, over: str) -> Estimate:
    """Mean of a symmetric matrix [S, S], such as IoUs between seeds, over all unordered pairs of different items.

    The standard error is computed by leaving out one of the S items at a time; None for fewer than 3 items.
    """
    count = len(values)
    pairs = torch.triu_indices(count, count, 1)
    mean = float(values[pairs[0], pairs[1]].double().mean())
    if count < 3:
        return Estimate(mean, None, count, over)
    without = [_mean_off_diagonal(values, [i for i in range(count) if i != out]) for out in range(count)]
    spread = torch.tensor(without, dtype=torch.float64)
    error = math.sqrt((count - 1) / count * float((spread - spread.mean()).square().sum()))
    return Estimate(mean, error, count, over)


def at_most(estimate: Estimate, bar: float) -> Verdict:
    """Whether the estimate is at most `bar`: `holds`, `fails`, or `unclear` within two standard errors of `bar`."""
    if estimate.error is not None and abs(estimate.value - bar) <= 2 * estimate.error:
        return "unclear"
    return "holds" if estimate.value <= bar else "fails"


def at_least(estimate: Estimate, bar: float) -> Verdict:
    """Whether the estimate is at least `bar`: `holds`, `fails`, or `unclear` within two standard errors of `bar`."""
    flipped = Estimate(-estimate.value, estimate.error, estimate.n, estimate.over)
    return at_most(flipped, -bar)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Combine verdicts: `fails` if one fails, else `unclear` if one is unclear, else `holds`.

    Verdicts `not run` are ignored; if there is no other verdict, the result is `not run`.
    """
    found = [verdict for verdict in verdicts if verdict != "not run"]
    if not found:
        return "not run"
    return "fails" if "fails" in found else "unclear" if "unclear" in found else "holds"


def _mean_off_diagonal(values: Tensor, kept: list[int]) -> float:
    pairs = torch.combinations(torch.tensor(kept))
    return float(values[pairs[:, 0], pairs[:, 1]].double().mean())
