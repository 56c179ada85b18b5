"""The look of all figures: colours, markers, dashes, logarithmic axes with plain numbers, notes, writing to files.

Everything that differs in colour also differs in marker, dash or fill, so figures can be read in greyscale. Most
colours are those of Okabe and Ito, which colour-blind readers can tell apart. Figures are matplotlib `Figure` objects
made without pyplot, so no global state changes. `save_figure` writes PNG, SVG or PDF; `to_svg` returns an element for a
web page.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparsegpt2.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1, 1, 1, 1, 1)),
    (0, (9, 2)),
)
GREY, PALE = "0.45", "0.86"
LABEL_PLACES = ((9, 0), (-9, 0), (8, 9), (8, -9), (-8, 9), (-8, -9), (0, 13), (0, -13))
"""Possible offsets (x, y) of a label from its point, in typographic points. Earlier ones are preferred."""

STYLE: Any = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.92",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "text.parse_math": False,  # names are shown unchanged, even if they contain TeX commands
    "svg.fonttype": "none",  # text stays text, which can be searched and selected
    "svg.hashsalt": "sparsegpt2",  # the same figure gives the same bytes
}


def save_figure(figure: Figure, stem: str | Path, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure to `stem`.png (200 dots per inch), `stem`.svg or `stem`.pdf: one file for each format.

    Returns the paths of the files.
    """
    paths = []
    for suffix in formats:
        path = Path(f"{stem}.{suffix}")
        no_date: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        metadata = no_date.get(suffix, {"Software": "sparsegpt2"})
        with styled(), replacing(path) as temporary:
            figure.savefig(temporary, format=suffix, dpi=200, metadata=metadata)
        paths.append(path)
    return paths


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element for a web page."""
    buffer = io.StringIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def plain_number(value: float) -> str:
    """A number in short form, such as 950, 1,200, 21k or 4.5M."""
    for unit, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= unit:
            scaled = value / (1e3 if suffix == "k" else unit)
            return f"{scaled:.3g}{suffix}"
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"


def look_of(number: int) -> dict[str, Any]:
    """Colour, dash and marker (matplotlib keyword arguments) of one model, run or width in a figure.

    number: its place among those in the figure, from 0.
    """
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def styled() -> AbstractContextManager[None]:
    """A context manager inside which matplotlib uses `STYLE`."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_figure(panels: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with several panels, one above the other, that share the x axis. width, height: in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, list(figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0])


def log_scales(axis: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    """Make both axes logarithmic, with plain numbers at the ticks.

    x, y: the values to show, all above 0. The limits of the axes are a little outside these values.
    """
    axis.set_xscale("log")
    axis.set_yscale("log")
    for one, values, limit, least in ((axis.xaxis, x, axis.set_xlim, 1.01), (axis.yaxis, y, axis.set_ylim, 1.4)):
        low, high = min(values), max(values)
        room = min(max((high / low) ** 0.12, least), 1.8)
        limit(low / room, high * room)
        log_ticks(one, [low / room, high * room])


def log_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Set the ticks of a logarithmic axis for the range of `values`.

    They are at powers of ten or, in a smaller range, at 1 and 3 or 1, 2 and 5 times powers of ten. In a very small
    range they are at evenly spaced round numbers.
    """
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    positive = [value for value in values if value > 0]
    if not positive:
        return
    low, high = min(positive), max(positive)
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    steps = (1,) if high / low > 3e3 else (1, 3) if high / low > 100 else (1, 2, 5)
    ticks = [step * 10.0**power for power in decades for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axis.set_major_formatter(tick_number)
    if len(ticks) < 3:
        ticks = [float(tick) for tick in MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high) if tick > 0]
        decimals = max(0, -math.floor(math.log10(ticks[1] - ticks[0])))  # enough to distinguish neighbours
        axis.set_major_formatter(lambda value, _position: f"{value:,.{decimals}f}")
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())


def tick_number(value: float, _position: float | None = None) -> str:
    """`plain_number` with the signature of a matplotlib formatter."""
    return plain_number(value)


def label_points(figure: Figure, axis: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write a text next to each point, on the side where it covers the least of what is already drawn.

    points: (x, y) in data coordinates. Call this last, because places are computed in pixels of the final layout.
    """
    figure.draw_without_rendering()  # computes the layout, which decides where a point is in pixels
    marks = axis.transData.transform(list(points))
    frame = axis.get_window_extent()
    pixels = figure.dpi / 72
    taken = [(x - 6 * pixels, y - 6 * pixels, x + 6 * pixels, y + 6 * pixels) for x, y in marks]
    taken += [(x - pixels, y - pixels, x + pixels, y + pixels) for x, y in _along_lines(axis, step=4 * pixels)]
    for point, text, (x, y) in zip(points, texts, marks, strict=True):
        width, height = len(text) * 3.9 * pixels, 8 * pixels  # approximate size in 7-point DejaVu Sans
        choices = []
        for order, (dx, dy) in enumerate(LABEL_PLACES):
            left = x + dx * pixels - (0 if dx > 0 else width if dx < 0 else width / 2)
            bottom = y + dy * pixels - height / 2
            box = (left, bottom, left + width, bottom + height)
            outside = max(0, frame.x0 - left) + max(0, left + width - frame.x1) + max(0, frame.y0 - bottom)
            choices.append((sum(_overlap(box, other) for other in taken) + 50 * outside, order, box))
        _, order, box = min(choices)
        taken.append(box)
        dx, dy = LABEL_PLACES[order]
        side = {1: "left", -1: "right", 0: "center"}[(dx > 0) - (dx < 0)]
        ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.3}
        look: dict[str, Any] = {"ha": side, "va": "center", "fontsize": 7, "color": "0.25", "zorder": 4.5}
        axis.annotate(text, point, xytext=(dx, dy), textcoords="offset points", bbox=ground, **look)


def _along_lines(axis: Axes, step: float) -> list[tuple[float, float]]:
    """Points (x, y) in pixels, `step` pixels apart, along every line drawn so far."""
    found = []
    for line in axis.get_lines():
        if line.get_linestyle() == "None" or len(line.get_xdata(orig=True)) < 2:  # type: ignore[arg-type]
            continue
        corners = axis.transData.transform(line.get_xydata())  # type: ignore[arg-type]
        for (x0, y0), (x1, y1) in itertools.pairwise(corners):
            count = max(1, round(math.hypot(x1 - x0, y1 - y0) / step))
            found += [(x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(count + 1)]
    return found


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The area, in square pixels, that two boxes (left, bottom, right, top) share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def add_note(figure: Figure, note: str) -> None:
    """Write a note in small print at the bottom of the figure."""
    if note:
        figure.supxlabel("\n".join(textwrap.wrap(note, 120)), fontsize=7, color="0.35", x=0.01, ha="left")
