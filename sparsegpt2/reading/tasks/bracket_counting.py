"""Predictions about closing a list with as many brackets as are open.

Made from the circuit of the zoo's memory-768, its weights, and what its heads 30 and 32 of layer 0 make of each token
alone, before anything here was measured on it: asked by a number at position 60, head 30 gives `],` e^9.5, ` [` e^8.8,
` [[` e^7.7, ` =` e^7.2, commas and numbers e^2.5 to e^2.8, and every later token e^0.36 more; its value 482 is on at
` [[` and off at ` [` and `],`. Head 32 (e^0.57 a token) brings both brackets alike, value 522. Neuron 2299 of layer 0
is on when both are there; a chain of one channel and two neurons of layer 1 does the rest. So it is the last bracket
that counts, and whether it was ` [[`. What the earlier models' readings had shown was known by then.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import Claim, Prompts, Reading
from sparsegpt2.reading.swaps import alone, swaps

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
                "Later tokens weigh more, and the sixth number as much as the bracket: in long lists the sign of [[ "
                "is lost and they are closed by ], those opened by [ stay right."
            ),
            axis="numbers in the list",
            levels={str(n): f"$name = {{{{[|[[}}}}{numbers(n)}{{{{answer}}}}\n" for n in (2, 3, 4, 6, 8, 12, 16, 20)},
            claims=(
                Claim(quantity="margin", side="right", level="16", minus="3", at_most=-2.0),
                Claim(quantity="accuracy", side="right", level="16", at_most=0.5),
                Claim(quantity="accuracy", side="left", level="16", at_least=0.9),
            ),
        ),
        Prompts(
            name="stray_bracket_in_a_comment",
            prediction=(
                "The last bracket weighs e^3 as much as one a line before, so strays in a comment matter less than "
                "half a nat on either side."
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
                Claim(quantity="margin", side="left", level="stray [[", minus="no bracket", at_least=-0.5),
                Claim(quantity="margin", side="left", level="stray [", minus="no bracket", at_least=-0.5),
                Claim(quantity="margin", side="right", level="stray [", minus="no bracket", at_least=-0.5),
            ),
        ),
        Prompts(
            name="earlier_lists",
            prediction=(
                "Lines before are too far behind to weigh: finished lists of depth 1 matter less than half a nat."
            ),
            axis="finished lists of depth 1, on lines before",
            levels={str(n): after(finished("[$number5, $number6]", n)) for n in (0, 1, 2, 4)},
            claims=(
                Claim(quantity="margin", side="right", level="4", minus="0", at_least=-0.5),
                Claim(quantity="margin", side="left", level="4", minus="0", at_least=-0.5),
            ),
        ),
        Prompts(
            name="earlier_nested_lists",
            prediction=("For the same reason finished lists of depth 2 do not turn lists opened by [."),
            axis="finished lists of depth 2, on lines before",
            levels={str(n): after(finished("[[$number5, $number6]]", n)) for n in (0, 1, 2, 4)},
            claims=(
                Claim(quantity="margin", side="left", level="2", minus="0", at_least=-1.0),
                Claim(quantity="accuracy", side="left", level="2", at_least=0.9),
            ),
        ),
        Prompts(
            name="rows",
            prediction=(
                "Behind a closed row the `],` and the row's own ` [` weigh most and say nothing of depth 2, so all "
                "answers are `]`: right where no row is open and wrong where one is."
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
                "The queries read what is on at numbers: behind a name the heads look elsewhere, and answers suffer."
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
            "All that the circuit knows passes through neuron 2299 of layer 0: alone it turns most answers.",
            "0.mlp.post_act.2299",
        ),
    ),
)
