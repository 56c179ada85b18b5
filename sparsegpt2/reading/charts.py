"""A chart for each experiment, with two panels. Both show one value for each level of the experiment.

The left panel shows the margin. The right panel shows the accuracy or, if nodes were patched, the share of turned
answers: answers that are right without the patch and wrong with it. `Claim.quantity` in experiment.py defines these
values; it calls the share of turned answers `flipped`.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from sparsegpt2.files import replacing
from sparsegpt2.reading.experiment import Patch, Prompts
from sparsegpt2.reading.measure import Outcome
from sparsegpt2.report.style import GREY, look_of, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS = 140
"""Dots per inch. With this, text is sharp in a figure nine inches wide that is shown 900 pixels wide."""
SHADES = 96
"""Number of colours in a PNG."""
LABEL = 26
"""A level's name is broken into lines of at most this many characters."""
MARGIN = "log p(right) − log p(wrong), nats"


def save_png(figure: Figure, path: str | Path) -> None:
    """Write a PNG with `SHADES` colours, which has a third of the size of a PNG with all colours.

    The same figure gives the same bytes.
    """
    from PIL import Image

    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="png", dpi=DOTS)
    picture = Image.open(buffer).convert("RGB").quantize(SHADES)
    with replacing(path) as temporary:
        picture.save(temporary, format="png", optimize=True)


def draw_outcome(outcome: Outcome, sides: tuple[str, str]) -> Figure:
    """A chart of the values measured at each level. sides: names of the left and right prompts, for the legend."""
    from matplotlib.figure import Figure

    levels, quantity = list(outcome.levels), "flipped" if isinstance(outcome.experiment, Patch) else "accuracy"
    numeric = all(_is_number(level) for level in levels)
    height = 3.0 if numeric else 1.3 + 0.36 * len(levels)
    with styled():
        figure = Figure(figsize=(9.0, height), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=not numeric, width_ratios=(3, 2))
        for axis, measured in ((left, "margin"), (right, quantity)):
            for number, side in enumerate(("left", "right")):
                values = [getattr(outcome.levels[level][side], measured) for level in levels]
                spreads = [outcome.levels[level][side].spread if measured == "margin" else 0.0 for level in levels]
                (_draw_line if numeric else _draw_bars)(axis, levels, values, spreads, number)
        _label(left, right, outcome, quantity, numeric)
        handles, _ = left.get_legend_handles_labels()
        figure.legend(handles, sides, loc="outside upper center", ncols=2)
    return figure


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _draw_line(axis: Axes, levels: list[str], values: list[float], spreads: list[float], number: int) -> None:
    x, look = [float(level) for level in levels], look_of(number)
    axis.plot(x, values, **look, markersize=5, label=str(number))
    if any(spreads):
        low, high = ([v + sign * s for v, s in zip(values, spreads, strict=True)] for sign in (-1, 1))
        axis.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)


def _draw_bars(axis: Axes, levels: list[str], values: list[float], spreads: list[float], number: int) -> None:
    y, look = [i + 0.36 * number - 0.18 for i in range(len(levels))], look_of(number)
    hatch = "//" if number else None
    error = {"ecolor": "0.3", "elinewidth": 0.8, "capsize": 2}
    axis.barh(
        y,
        values,
        height=0.34,
        color=look["color"] if not number else "white",
        edgecolor=look["color"],
        hatch=hatch,
        label=str(number),
        xerr=spreads if any(spreads) else None,
        error_kw=error,
    )


def _label(left: Axes, right: Axes, outcome: Outcome, quantity: str, numeric: bool) -> None:
    """Label the axes. Levels that are numbers are on the x axis; others are on the y axis, with the first on top."""
    experiment, words = outcome.experiment, {"accuracy": "accuracy", "flipped": "share of answers turned"}[quantity]
    if numeric:
        assert isinstance(experiment, Prompts)
        for axis, name, letters in ((left, MARGIN, 56), (right, words, 36)):
            axis.set_xlabel("\n".join(textwrap.wrap(experiment.axis, letters)))
            axis.set_xticks([float(level) for level in outcome.levels], list(outcome.levels))
            axis.set_ylabel(name)
        left.axhline(0, color=GREY, linewidth=0.8)
        right.set_ylim(-0.03, 1.03)
        return
    names = ["\n".join(textwrap.wrap(level, LABEL)) for level in outcome.levels]
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    left.set_xlabel(MARGIN)
    left.axvline(0, color=GREY, linewidth=0.8)
    if isinstance(experiment, Prompts):
        left.set_ylabel("\n".join(textwrap.wrap(experiment.axis, 22)))
    right.set_xlabel(words)
    right.set_xlim(0, 1.03)
