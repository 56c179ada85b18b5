"""Predictions about closing a list with as many brackets as are open.

The predictions were made from the circuit in the zoo's model memory-768, from the model's weights, and from what heads
30 and 32 of layer 0 do with each token on its own. What readings of circuits in earlier models had shown was known, but
none of these experiments had been run on this model.

In a head, a token gets attention in proportion to its weight, which is e to the power of its score. With the query at a
number in position 60, head 30 gives `],` a weight of e^9.5, ` [` e^8.8, ` [[` e^7.7, ` =` e^7.2, and commas and numbers
e^2.5 to e^2.8. The weight grows by a factor of e^0.36 with each later position (in head 32, e^0.57). A value channel is
a channel of v. Value channel 482 of head 30 is on (far from zero) at ` [[` and off at ` [` and `],`. Value channel 522
of head 32 is on at both ` [` and ` [[`. Neuron 2299 of layer 0 is on when both value channels are on. One channel and
two neurons of layer 1 carry the neuron's output to the answer. So what counts is the last bracket, and whether it
is ` [[`.

A patch "turns" an answer if the model is right without it and wrong with it (`sparsegpt2/reading/swaps.py`).
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
"""Templates with a list that is still open where the answer is due."""


def after(line: str) -> str:
    """The templates of `OPEN`, each with `line` put before it."""
    return "---\n".join(line + part for part in OPEN.split("---\n"))


def finished(value: str, count: int) -> str:
    """`count` lines that each assign `value`, a finished list."""
    return "".join(f"$thing{1 + i} = {value}\n" for i in range(count))


def numbers(count: int) -> str:
    """`count` numbers joined by commas; the same twelve numbers are used in turn."""
    return ", ".join(f"$number{1 + i % 12}" for i in range(count))


def elements(*slots: str) -> str:
    """A template with a list of the given elements that is still open."""
    return f"$name1 = {{{{[|[[}}}}{', '.join(slots)}{{{{answer}}}}\n"


READING = Reading(
    sides=("[ opened the list", "[[ opened the list"),
    experiments=(
        Prompts(
            name="length",
            prediction=(
                "Later tokens have a larger weight, and the sixth number has as much weight as the bracket. So in long "
                "lists the signal of [[ is lost: lists opened by [[ are closed by ], and lists opened by [ are still "
                "closed correctly."
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
                "The last bracket has e^3 times the weight of a bracket one line before, so a stray bracket in a "
                "comment reduces the margin by less than half a nat on either side."
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
                "The lines before are too far away to have much weight: finished lists of depth 1 reduce the margin by "
                "less than half a nat."
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
            prediction=(
                "For the same reason, finished lists of depth 2 on the lines before do not make the answers for lists "
                "opened by [ wrong."
            ),
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
                "After a closed row, the `],` and the row's own ` [` have the largest weights, and neither is a signal "
                "of depth 2. So all answers are `]`, which is right where no row is open and wrong where one is."
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
                "The queries read channels that are on at numbers. After a name, the heads attend to other tokens, and "
                "accuracy falls."
            ),
            axis="elements of the list",
            levels={
                "numbers": elements("$number1", "$number2", "$number3"),
                "names": elements("$name2", "$name3", "$name4"),
                "number, name": elements("$number1", "$name2", "$number3"),
            },
            claims=(Claim(quantity="accuracy", level="names", minus="numbers", at_most=-0.1),),
        ),
        *swaps("the nesting depth"),
        alone(
            "swapped_neuron",
            "All that the circuit knows passes through neuron 2299 of layer 0: patching it alone turns most answers.",
            "0.mlp.post_act.2299",
        ),
    ),
)
