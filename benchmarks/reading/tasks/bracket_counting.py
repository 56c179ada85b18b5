"""Predictions about closing a list with as many brackets as are open.

Made from the circuit of the zoo's memory-512, its weights, and what its head 24 of layer 0 makes of each token alone,
before anything here was measured on it: that head goes to ` [` (weight e^11.3), ` [[` (e^10.7) and `],` (e^10.3), less
to commas (e^7.4) and hardly to numbers; value 395 brings the more for ` [[`, little for ` [`, and less than nothing for
`],`; its queries read channels that are on at numbers. One neuron a layer, 868 and 1977, does the rest. So it averages
over brackets. What the earlier models' readings had shown was known by then.
"""

from __future__ import annotations

from benchmarks.reading.experiment import Claim, Prompts, Reading
from benchmarks.reading.swaps import alone, swaps

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
                "Sixteen commas together weigh half as much as the bracket: length dilutes what the head brings, and "
                "the margin of lists opened by [[ shrinks, that of lists opened by [ does not."
            ),
            axis="numbers in the list",
            levels={str(n): f"$name = {{{{[|[[}}}}{numbers(n)}{{{{answer}}}}\n" for n in (2, 3, 4, 6, 8, 12, 16, 20)},
            claims=(
                Claim(quantity="margin", side="right", level="16", minus="3", at_most=-1.0),
                Claim(quantity="margin", side="left", level="16", minus="3", at_least=-0.5),
            ),
        ),
        Prompts(
            name="stray_bracket_in_a_comment",
            prediction=(
                "Brackets count wherever they stand, each for its own depth: a stray [[ in a comment moves lists "
                "opened by [ towards ]], and a stray [ those opened by [[ towards ]."
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
                Claim(quantity="margin", side="left", level="stray [", minus="no bracket", at_least=-1.0),
                Claim(quantity="margin", side="right", level="stray [", minus="no bracket", at_most=-1.0),
            ),
        ),
        Prompts(
            name="earlier_lists",
            prediction=(
                "Their ` [` gets twice the weight of a ` [[` and speaks for depth 1: finished lists of depth 1 on "
                "lines before narrow the margin of lists opened by [[, and not that of lists opened by [."
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
            prediction=(
                "The head averages over lines, too: two finished lists of depth 2 on lines before turn lists opened "
                "by [."
            ),
            axis="finished lists of depth 2, on lines before",
            levels={str(n): after(finished("[[$number5, $number6]]", n)) for n in (0, 1, 2, 4)},
            claims=(
                Claim(quantity="margin", side="left", level="2", minus="0", at_most=-1.0),
                Claim(quantity="accuracy", side="left", level="2", at_most=0.5),
            ),
        ),
        Prompts(
            name="rows",
            prediction=(
                "Every closed row brings a `],`, which speaks against depth 2, and a ` [`, which speaks for 1: behind "
                "four of them all answers are `]`, right where none is open and wrong where one is."
            ),
            axis="finished rows before, in the same list",
            levels={
                str(n): f"$holder = [{'[$number, $number2], ' * n}{{{{|[}}}}$number3, $number4{{{{answer}}}}\n"
                for n in (1, 2, 3, 4)
            },
            claims=(
                Claim(quantity="accuracy", side="left", level="4", at_least=0.7),
                Claim(quantity="accuracy", side="right", level="4", at_most=0.5),
            ),
        ),
        Prompts(
            name="elements",
            prediction=(
                "The queries read what is on at numbers: behind a name the head looks elsewhere, and answers suffer."
            ),
            axis="elements of the list",
            levels={
                "numbers": elements("$number1", "$number2", "$number3"),
                "names": elements("$name2", "$name3", "$name4"),
                "number, name": elements("$number1", "$name2", "$number3"),
            },
            claims=(Claim(quantity="accuracy", level="names", minus="numbers", at_most=-0.1),),
        ),
        *swaps("the depth"),
        alone(
            "swapped_neuron",
            "One neuron of layer 1, 1977, is what all of it passes through: alone it turns most answers.",
            "1.mlp.post_act.1977",
        ),
    ),
)
