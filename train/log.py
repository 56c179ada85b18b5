"""What a run reports while it trains: metrics.jsonl, TensorBoard, and a console line with the time left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sparsegpt2.files import write_text
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.report.board import density_figure, open_board, weights_figure
from sparsegpt2.report.style import plain_number
from sparsegpt2.sparsity.project import projected_parameters

METRICS = "metrics.jsonl"


class RunLog:
    """Writes the metrics of one run.

    step: the step that the run resumes from, 0 for a new run. Metrics of later steps that the file already has are
    dropped. steps: number of steps of the run. title: its name on the screen.
    """

    def __init__(self, directory: Path, step: int, steps: int, title: str) -> None:
        self.steps, self.title = steps, title
        self.path = directory / METRICS
        write_text(self.path, "".join(f"{json.dumps(line)}\n" for line in self._lines() if line["step"] <= step))
        self.board = _tensorboard(directory / "tensorboard", step)
        self.progress = ProgressDisplay(title)
        self.progress.start()

    def _lines(self) -> list[dict[str, Any]]:
        """The metrics in the lines of the file.

        A last line without a line end was cut off by an interruption, and is dropped. Any other line that cannot be
        read is dropped too; then a copy of the damaged file is kept as metrics.jsonl.damaged.
        """
        if not self.path.exists():
            return []
        lines, damaged = [], 0
        for text in self.path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
            line = _line(text)
            damaged += line is None
            lines += [] if line is None else [line]
        if damaged:
            aside = self.path.with_name(f"{METRICS}.damaged")
            write_text(aside, self.path.read_text(encoding="utf-8", errors="replace"))
            print(f"{self.path} had {damaged} damaged lines, which were dropped; the damaged file is kept as {aside}")
        return lines

    def metrics(self, values: dict[str, Any]) -> None:
        """Append one line of metrics, which must have a `step`; numbers also go to TensorBoard."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float) and name != "step":
                    self.board.add_scalar(name, value, values["step"])

    def histograms(self, model: GPT, step: int) -> None:
        """Write the density of each sparsified tensor, and a histogram of its nonzero weights, to TensorBoard.

        After the last step of the run, also write figures of densities and weights by layer.
        """
        if self.board is None:
            return
        for tensor in projected_parameters(model):
            weight = tensor.weight.detach()
            nonzero = weight[weight != 0].float().cpu()
            self.board.add_scalar(f"density/{tensor.name}", len(nonzero) / weight.numel(), step)
            if len(nonzero):
                self.board.add_histogram(f"weights/{tensor.name}", nonzero, step)
        if step == self.steps:  # figures are slow to draw, so only once
            self.board.add_figure("density by layer", density_figure(model), step)
            self.board.add_figure("weights by layer", weights_figure(model), step)

    def console(self, step: int, values: dict[str, Any], held_out_tokens: int) -> None:
        """Show step, loss, density and speed. If `values` has a held-out loss, also print a line that stays visible.

        held_out_tokens: number of tokens over which the held-out loss was measured.
        """
        state = (
            f"step {step}/{self.steps}  loss {values['loss']:.3f}  density {values['density']:.4f}  "
            f"{values['tokens_per_second']:,.0f} tokens/s"
        )
        if "held_out_loss" in values:
            held_out = f"held-out ({plain_number(held_out_tokens)} tokens) {values['held_out_loss']:.3f}"
            self.progress.line(f"{self.title}: {state}  {held_out}")
        self.progress(step, self.steps, state)

    def close(self) -> None:
        """Close TensorBoard and the display."""
        self.progress.close(finished=False)
        if self.board is not None:
            self.board.close()


class Clock:
    """How many seconds this process has spent on each part of a run."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {"training": 0.0}
        self.last = 0.0
        """Seconds of the last measurement."""

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time spent inside the `with` block to `part`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.last = time.perf_counter() - started
            self.seconds[part] = self.seconds.get(part, 0.0) + self.last

    def summary(self) -> str:
        """One line with the total time, and the share that each part except training has of it."""
        total = max(sum(self.seconds.values()), 1e-9)
        others = {part: seconds for part, seconds in self.seconds.items() if part != "training"}
        shares = ", ".join(f"{part} {seconds / total:.1%}" for part, seconds in others.items())
        return f"{duration(total)} in total, {sum(others.values()) / total:.1%} of it not training: {shares}"


def duration(seconds: float) -> str:
    """`75` -> `1:15`, `3700` -> `1:01:40`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _line(text: str) -> dict[str, Any] | None:
    """The metrics in one line of the file; None if it cannot be read."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None


def _tensorboard(directory: Path, step: int) -> Any:
    """A SummaryWriter; None if TensorBoard is not installed. What an earlier process wrote after `step` is hidden."""
    if not step:  # these files were left by a run that was killed before it saved anything
        for file in directory.glob("events.out.tfevents.*"):
            file.unlink()
    return open_board(directory, purge_step=step + 1 if step else None)


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work.

    A GPU works asynchronously, so a clock that is read without waiting does not measure that work.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
