"""Predictions about closing a list with as many brackets as are open.

What they test: whether depth is an average of brackets over the context, which length dilutes and any bracket moves,
or a count of what is open.
"""

from __future__ import annotations

from benchmarks.reading.experiment import Claim, Prompts, Reading
from benchmarks.reading.swaps import swaps

OPEN = """$name = {{[|[[}}$number, $number2{{answer}}
---
$holder = {{[|[[}}$number, $number2, $number3{{answer}}
---
$name = {{[|[[}}$number, $number2, $number3, $number4{{answer}}
"""


def after(line: str) -> str:
    """The open lists of `OPEN`, each with `line` before it."""
    return "---\n".join(line + part for part in OPEN.split("---\n"))


def finished(value: str, count: int) -> str:
    """So many lines, each with a list that is closed."""
    return "".join(f"$thing{1 + i} = {value}\n" for i in range(count))


def numbers(count: int) -> str:
    """So many numbers; the twelve there are come again and again."""
    return ", ".join(f"$number{1 + i % 12}" for i in range(count))


def elements(*slots: str) -> str:
    """A list that is still open with these elements."""
    return f"$name1 = {{{{[|[[}}}}{', '.join(slots)}{{{{answer}}}}\n"


READING = Reading(
    sides=("[ opened the list", "[[ opened the list"),
    experiments=(
        Prompts(
            name="length",
            prediction=(
                "Depth is an average over the context, so long lists dilute the bracket count: the margin of lists "
                "opened by [[ shrinks with every element and ends below zero."
            ),
            axis="numbers in the list",
            levels={str(n): f"$name = {{{{[|[[}}}}{numbers(n)}{{{{answer}}}}\n" for n in (2, 3, 4, 6, 8, 12, 16, 20)},
            claims=(
                Claim(quantity="margin", side="right", level="16", minus="3", at_most=-2.0),
                Claim(quantity="accuracy", side="right", level="20", at_most=0.5),
            ),
        ),
        Prompts(
            name="stray_bracket_in_a_comment",
            prediction=(
                "A bracket in a comment counts like any other: a stray [[ turns lists opened by [, and a stray ]] "
                "lists opened by [[."
            ),
            axis="comment on the line before",
            levels={
                "none": OPEN,
                "no bracket": after("# $verb $text\n"),
                "stray [": after("# $verb [$text\n"),
                "stray [[": after("# $verb [[$text\n"),
                "stray ]": after("# $verb $text]\n"),
                "stray ]]": after("# $verb $text]]\n"),
            },
            claims=(
                Claim(quantity="margin", side="left", level="stray [[", minus="no bracket", at_most=-1.0),
                Claim(quantity="margin", side="right", level="stray ]]", minus="no bracket", at_most=-1.0),
            ),
        ),
        Prompts(
            name="earlier_lists",
            prediction=(
                "Finished lists of depth 1 on lines before lower the average: the margin of lists opened by [[ "
                "shrinks, and that of lists opened by [ does not."
            ),
            axis="finished lists of depth 1, on lines before",
            levels={str(n): after(finished("[$number5, $number6]", n)) for n in (0, 1, 2, 4)},
            claims=(
                Claim(quantity="margin", side="right", level="4", minus="0", at_most=-1.0),
                Claim(quantity="margin", side="left", level="4", minus="0", at_least=-0.5),
            ),
        ),
        Prompts(
            name="earlier_nested_lists",
            prediction="Finished lists of depth 2 on lines before raise the average and turn lists opened by [.",
            axis="finished lists of depth 2, on lines before",
            levels={str(n): after(finished("[[$number5, $number6]]", n)) for n in (0, 1, 2, 4)},
            claims=(Claim(quantity="margin", side="left", level="2", minus="0", at_most=-1.0),),
        ),
        Prompts(
            name="rows",
            prediction=(
                "Rows that are closed count as brackets all the same: behind more of them a list of depth 1 is taken "
                "for one of depth 2."
            ),
            axis="finished rows before, in the same list",
            levels={
                str(n): f"$holder = [{'[$number, $number2], ' * n}{{{{|[}}}}$number3, $number4{{{{answer}}}}\n"
                for n in (1, 2, 3, 4)
            },
            claims=(Claim(quantity="accuracy", side="left", level="4", at_most=0.5),),
        ),
        Prompts(
            name="elements",
            prediction="Only brackets are counted: whether the elements are numbers, names or words changes little.",
            axis="elements of the list",
            levels={
                "numbers": elements("$number1", "$number2", "$number3"),
                "names": elements("$name2", "$name3", "$name4"),
                "number, name": elements("$number1", "$name2", "$number3"),
            },
            claims=(
                Claim(quantity="accuracy", level="names", minus="numbers", at_least=-0.1),
                Claim(quantity="accuracy", level="number, name", minus="numbers", at_least=-0.1),
            ),
        ),
        *swaps("the depth"),
    ),
)
