"""Training curves, from the metrics that training writes to the run folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.errors import UserError
from sparsegpt2.plain import check, parse_json, read_text
from sparsegpt2.report.plots import TrainingCurve, draw_training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = "metrics.jsonl"
"""Name of the metrics file in a run folder. Each line is one logged step."""


NEEDED = ("tokens", "loss", "step")
"""Fields that every line must have."""
MEASURES = (*NEEDED, "held_out_loss", "density", "l0", "dead_mlp_neurons", "dead_attention_channels")
"""Fields that must be numbers. Those that are not in `NEEDED` may also be absent or null."""


def read_metrics(run: str | Path) -> list[dict[str, Any]]:
    """The logged steps of a run folder in order, one dict for each step.

    A last line without a newline is skipped, because a training run in progress may still be writing it. `UserError`,
    with file and line number, for any other line that is not a JSON object with the fields in `NEEDED`.
    """
    path = Path(run) / METRICS
    if not path.exists():
        raise UserError(f"{path} does not exist; give a run folder written by `sparsegpt2 train`")
    *lines, _unfinished = read_text(path, "metrics").split("\n")
    return [_step(line, f"{path} line {number}") for number, line in enumerate(lines, start=1)]


def _step(line: str, source: str) -> dict[str, Any]:
    """Parse one line. `UserError` if a field of `NEEDED` is missing, or a field of `MEASURES` is not a number."""
    step = parse_json(line, source, nan_is_none=True)  # a run that diverges may have written NaN
    if not isinstance(step, dict):
        raise UserError(f"{source} is not a JSON object")
    for name in NEEDED:
        if name not in step:
            raise UserError(f"{source} lacks the field {name!r}")
    for name in MEASURES:
        check(step.get(name, 0), float if name in NEEDED else float | None, f"{source}: the field {name!r}")
    return step


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
