"""Tables and bars as HTML, for the `_repr_html_` of objects in a notebook. All text is escaped except `Markup`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

BAR = 120
"""Width of the longest bar in pixels."""


class Markup(str):
    """Text that is already HTML; it is not escaped."""

    __slots__ = ()


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table of `rows` (plain values, or `Markup`) below the column `titles`; without titles it has no header."""
    above = f"<caption style='text-align:left'>{escape(caption)}</caption>" if caption else ""
    head = f"<thead><tr>{''.join(f'<th>{escape(title)}</th>' for title in titles)}</tr></thead>" if titles else ""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table>{above}{head}<tbody>{body}</tbody></table>"


def bar(value: float, largest: float) -> Markup:
    """A bar whose length is `value` relative to `largest`, which would be `BAR` pixels long."""
    width = 0 if largest <= 0 else max(1, round(BAR * value / largest)) if value > 0 else 0
    return Markup(f"<span style='display:inline-block;height:0.8em;width:{width}px;background:#4c78a8'></span>")


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        return f"<td style='text-align:left'>{value}</td>"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = "" if value is None else f"{value:,}" if isinstance(value, int) and number else value
    text = f"{text:.3g}" if isinstance(text, float) else str(text)
    return f"<td style='text-align:{'right' if number else 'left'}'>{escape(text)}</td>"
