"""Predictions about closing a list with as many brackets as are open.

Made from the circuit of the main pair's sparse model, read before anything here was measured on it: head 7 of layer 0
goes to the token ` [[` (key 124), its value 127 reads a channel that is on there and nowhere else, and what comes of it
passes through one neuron of layer 1, 118. So it detects a token, and counts nothing. What the earlier models' readings
had shown was known by then.
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
                "Attention is shared with commas and numbers, so length dilutes what the head brings: the margin of "
                "lists opened by [[ shrinks with every element and ends below zero."
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
                "The token ` [[` counts wherever it stands, and no other bracket does: a stray [[ in a comment turns "
                "lists opened by [, a stray [ or ]] does little."
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
                Claim(quantity="margin", side="right", level="stray ]]", minus="no bracket", at_least=-1.0),
            ),
        ),
        Prompts(
            name="earlier_lists",
            prediction=(
                "Finished lists of depth 1 on lines before are more tokens to share attention with: the margin of "
                "lists opened by [[ shrinks, and that of lists opened by [ does not."
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
            prediction="A finished list of depth 2 on a line before has the token too: lists opened by [ lose by it.",
            axis="finished lists of depth 2, on lines before",
            levels={str(n): after(finished("[[$number5, $number6]]", n)) for n in (0, 1, 2, 4)},
            claims=(Claim(quantity="margin", side="left", level="2", minus="0", at_most=-1.0),),
        ),
        Prompts(
            name="rows",
            prediction=(
                "That rows are closed is read from `],` (channel 100 of the key): behind them a list of depth 1 is "
                "mostly told from one of depth 2."
            ),
            axis="finished rows before, in the same list",
            levels={
                str(n): f"$holder = [{'[$number, $number2], ' * n}{{{{|[}}}}$number3, $number4{{{{answer}}}}\n"
                for n in (1, 2, 3, 4)
            },
            claims=(Claim(quantity="accuracy", side="left", level="4", at_least=0.7),),
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
        alone(
            "swapped_neuron",
            "One neuron of layer 1, 118, is what all of it passes through: alone it turns most answers.",
            "1.mlp.post_act.118",
        ),
    ),
)
