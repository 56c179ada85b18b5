"""Kurtosis of the final residual stream against L0 and width: how unevenly its channels are used (paper, figure 10)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsegpt2.report.style import GREY, add_note, label_points, log_scales, look_of, new_figure, styled
from sparsegpt2.results import DENSE_FROM, Row, Table, display_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAUSSIAN = 3.0
"""Kurtosis of a normal distribution, and so of a residual stream whose channels all have one normal distribution."""
NAMED_POINTS = 12
"""If there are more models than this, points are drawn without names. The names are then only in the table."""


@dataclass(frozen=True)
class Stream:
    """Kurtosis of the final residual stream of one model."""

    model: str
    d_model: int
    l0: int
    dense: bool
    kurtosis: float


def streams(rows: Iterable[Row], models: Sequence[str] = ()) -> list[Stream]:
    """The models whose rows contain their kurtosis, sorted by width and L0. models: if given, only these are used."""
    rows = list(rows)
    names = display_names(rows)
    found = {
        row.fingerprint: Stream(names[row.fingerprint], row.d_model, row.l0, row.density >= DENSE_FROM, row.kurtosis)
        for row in rows
        if row.kurtosis is not None
    }
    chosen = [stream for stream in found.values() if not models or stream.model in models]
    return sorted(chosen, key=lambda stream: (stream.d_model, stream.l0))


def kurtosis_table(found: Sequence[Stream]) -> Table:
    """A table with one line for each model."""
    return [
        {"model": s.model, "dense": s.dense, "d_model": s.d_model, "l0": s.l0, "kurtosis": round(s.kurtosis, 4)}
        for s in found
    ]


def draw_kurtosis(found: Sequence[Stream]) -> Figure:
    """Kurtosis against L0, both logarithmic.

    A line joins the sparse models of each width, and a dotted line joins the dense models.
    """
    with styled():
        figure, (axis,) = new_figure(1, width=7.6, height=4.2)
        log_scales(axis, [s.l0 for s in found], [*(s.kurtosis for s in found), GAUSSIAN])
        ends = axis.get_xlim()  # not axhline: `label_points` would take the x of its ends, 0 and 1, for values of L0
        axis.plot(ends, [GAUSSIAN] * 2, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        _join(
            axis, [s for s in found if s.dense], color="0", linestyle=(0, (1, 1)), linewidth=1.2, label="dense (hollow)"
        )
        for number, width in enumerate(sorted({s.d_model for s in found})):
            look = look_of(number)
            of_width = [s for s in found if s.d_model == width]
            _join(axis, [s for s in of_width if not s.dense], color=look["color"])
            for s in of_width:
                face = "white" if s.dense else look["color"]
                axis.plot(s.l0, s.kurtosis, marker=look["marker"], ms=7, mfc=face, mec=look["color"], mew=1.5, zorder=5)
            axis.plot([], [], color=look["color"], marker=look["marker"], markersize=6, label=f"width {width}")
        axis.set_xlabel("L0 (nonzero weights and biases)")
        axis.set_ylabel("Kurtosis of the final residual stream")
        figure.legend(loc="outside right upper")
        note = (
            f"Over the channels of each token of held-out text, mean over tokens. Dashed: {GAUSSIAN:g}, a Gaussian, "
            "whose channels all behave alike. Higher: few channels are large at each token."
        )
        add_note(figure, note)
        if len(found) <= NAMED_POINTS:
            label_points(figure, axis, [(s.l0, s.kurtosis) for s in found], [s.model for s in found])
        return figure


def _join(axis: Axes, found: Sequence[Stream], **look: Any) -> None:
    """Draw a line through the models in order of L0."""
    if found:
        ordered = sorted(found, key=lambda stream: stream.l0)
        axis.plot([s.l0 for s in ordered], [s.kurtosis for s in ordered], zorder=2, **look)
