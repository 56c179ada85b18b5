"""Training curves, from the metrics that training writes to the run folder."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.report.plots import TrainingCurve, draw_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.jsonl"
"""Name of the file inside a run folder."""


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """The logged steps of a run folder in order, one dict for each step.

    A last line without a newline is skipped, because a training run in progress may still be writing it. `UserError`,
    with file and line number, for any other line that is not a JSON object with the fields `tokens` and `loss`.
    """
    path = Path(run) / METRICS
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run folder written by `sparsegpt2 train`")
    *lines, _unfinished = path.read_text(encoding="utf-8").split("\n")
    steps = []
    for number, line in enumerate(lines, start=1):
        try:
            step = json.loads(line)
            absent = [name for name in ("tokens", "loss") if name not in step]
        except (ValueError, TypeError) as error:
            raise UserError(f"{path} line {number} is not a JSON object ({error})") from None
        if absent:
            raise UserError(f"{path} line {number} lacks the field {absent[0]!r}")
        steps.append(step)
    return steps


def training_curve(run: str | Path) -> TrainingCurve:
    """Training loss, held-out loss and L0 against training tokens, from one run folder."""
    steps = read_metrics(run)
    return TrainingCurve(
        name=Path(run).resolve().name,
        tokens=[step["tokens"] for step in steps],
        loss=[step["loss"] for step in steps],
        held_out=[(s["tokens"], s["held_out_loss"]) for s in steps if s.get("held_out_loss") is not None],
        l0=[(s["tokens"], s["l0"]) for s in steps if s.get("l0") is not None],
    )


def training_figure(runs: Iterable[str | Path]) -> Figure:
    """A figure of loss and L0 against training tokens, from several run folders."""
    note = "With markers: held-out loss. Thin: training loss, smoothed. Loss may rise while the density is annealed."
    return draw_training([training_curve(run) for run in runs], note=note)
