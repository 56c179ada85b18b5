"""Markers in Markdown between which code writes: found, filled, compared.

<!-- numbers: NAME ARGUMENT... -->      a block of lines, such as a table
<!-- n: NAME ARGUMENT... -->19.3<!-- /n -->      a number inside a line
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

BLOCK = re.compile(r"<!-- numbers: ([^\n]*?) -->(.*?)<!-- /numbers -->", re.DOTALL)
INLINE = re.compile(r"<!-- n: ([^\n]*?) -->([^\n]*?)<!-- /n -->")
OPENING = re.compile(r"<!-- (numbers|n): ")
AT_LINE_START = re.compile(r"^[ ]*(<!-- n: [^\n]*? -->)", re.MULTILINE)


@dataclass(frozen=True)
class Difference:
    """A place where a page differs from the results."""

    marker: str
    found: str
    right: str


class MarkerError(ValueError):
    """Markers of a page that cannot be filled."""


def fill(text: str, value: Callable[[str], str]) -> tuple[str, list[Difference]]:
    """(the page with every marker filled, what differed). value: name and arguments of a marker -> what it holds.

    `MarkerError` for a marker that is not closed, and for an inline one at the start of a line, which Markdown would
    take for a block of HTML.
    """
    if early := AT_LINE_START.search(text):
        raise MarkerError(f"{early[1]} is at the start of a line; put a word before it")
    closed = len(BLOCK.findall(text)) + len(INLINE.findall(text))
    if closed != len(OPENING.findall(text)):
        raise MarkerError("a marker is not closed, or stands inside another")
    differences: list[Difference] = []

    def filled(match: re.Match[str], right: str) -> str:
        if match[2] != right:
            differences.append(Difference(match[1], match[2].strip(), right.strip()))
        start, end = match.start(2) - match.start(), match.end(2) - match.start()
        return match[0][:start] + right + match[0][end:]

    def block(match: re.Match[str]) -> str:
        content = value(match[1]).strip()
        return filled(match, f"\n\n{content}\n\n" if content else "\n")

    text = BLOCK.sub(block, text)
    text = INLINE.sub(lambda match: filled(match, value(match[1])), text)
    return text, differences


def first_difference(difference: Difference) -> tuple[str, str]:
    """(found, right): the first lines that differ."""
    found, right = difference.found.splitlines(), difference.right.splitlines()
    for here, there in zip(found, right, strict=False):
        if here != there:
            return here, there
    longer = (found + [""] * len(right))[len(right) :] if len(found) > len(right) else []
    return (longer[0], "no such line") if longer else ("no such line", right[len(found)] if right[len(found) :] else "")
