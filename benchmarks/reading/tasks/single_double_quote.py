"""Predictions about closing a string with the quote that opened it.

Made from the circuit of the zoo's memory-512, its weights, and what its head 31 of layer 0 makes of each token alone,
before anything here was measured on it: that head gives opening quotes of every spelling the same weight (e^7 to e^9,
words e^5, closing quotes e^6), a little more to later ones, and its values 499 and 505 say which kind each is; one
channel of the residual stream, 37, holds the mean. What the earlier models' readings had shown was known by then.
"""

from __future__ import annotations

from benchmarks.reading.experiment import CHOSEN, Claim, Patch, Prompts, Reading
from benchmarks.reading.swaps import alone, swaps

OPEN = """print({{'|"}}$text{{answer}} if $flag else None
---
$name = $thing.index({{'|"}}$text{{answer}} + $number
---
print({{'|"}}$label: $text{{answer}} if $name == $number else None
"""
"""A string that is still open, in code that goes on behind it."""

SAME, OTHER = """{{'|"}}""", """{{"|'}}"""


def after(line: str) -> str:
    """The open strings of `OPEN`, each with `line` before it."""
    return "---\n".join(line + part for part in OPEN.split("---\n"))


def inside(words: int) -> str:
    """A string of so many words; the six there are come again and again."""
    slots = [f"$text{1 + i % 6}" for i in range(words)]
    return f"print({SAME}{' '.join(slots)}{{{{answer}}}} if $flag else None\n"


def strings(quote: str, count: int) -> str:
    """Lines that hold one finished string each."""
    return "".join(f"print({quote}$person{1 + i % 2}{quote})\n" for i in range(count))


READING = Reading(
    sides=("' opened the string", '" opened the string'),
    experiments=(
        Prompts(
            name="distance",
            prediction=(
                "A word gets an eighth of a quote's weight, and the later ones gain a little by their position: a few "
                "are no matter, and many narrow the margin."
            ),
            axis="words between the opening quote and the closing one",
            levels={str(words): inside(words) for words in (1, 2, 4, 8, 16)},
            claims=(
                Claim(quantity="accuracy", level="4", at_least=0.9),
                Claim(quantity="margin", level="16", minus="1", at_most=-1.0),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_other_quote",
            prediction=(
                "Nothing in the circuit knows that a string is closed, and earlier quotes weigh nearly as much as the "
                "last: two finished strings with the other quote on lines before turn the answers."
            ),
            axis="finished strings with the other quote, on lines before",
            levels={str(count): after(strings(OTHER, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(
                Claim(quantity="margin", level="1", minus="0", at_most=-2.0),
                Claim(quantity="accuracy", level="2", at_most=0.5),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_same_quote",
            prediction=(
                "Attention averages over the quotes there are, and equal ones leave less of it to words: finished "
                "strings with the same quote widen the margin, if anything."
            ),
            axis="finished strings with the same quote, on lines before",
            levels={str(count): after(strings(SAME, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(Claim(quantity="margin", level="6", minus="0", at_least=0.0),),
        ),
        Prompts(
            name="stray_quote_in_a_comment",
            prediction=(
                "A quote behind a space weighs as much as one behind a bracket, so one of the other kind in a comment "
                "on the line before narrows the margin."
            ),
            axis="comment on the line before",
            levels={
                "none": OPEN,
                "no quote": after("# $verb $text\n"),
                "stray '": after("# $verb '$text\n"),
                'stray "': after('# $verb "$text\n'),
                "two stray '": after("# $verb '$text '$text2\n"),
                'two stray "': after('# $verb "$text "$text2\n'),
            },
            claims=(
                Claim(quantity="margin", side="right", level="stray '", minus="no quote", at_most=-1.0),
                Claim(quantity="margin", side="left", level='stray "', minus="no quote", at_most=-1.0),
            ),
        ),
        Prompts(
            name="other_quote_inside_the_string",
            prediction=(
                "Quotes of the other kind inside the open string weigh as much as the one that opened it, and nothing "
                "tells them apart: they turn answers."
            ),
            axis="quotes of the other kind inside the string",
            levels={
                "0": f"print({SAME}$text $text2{{{{answer}}}} if $flag else None\n",
                "2": f"print({SAME}$text {OTHER}$text2{OTHER} $text3{{{{answer}}}} if $flag else None\n",
                "4": f"print({SAME}$text {OTHER}$text2{OTHER} {OTHER}$text3{OTHER} $text4{{{{answer}}}} if $flag "
                "else None\n",
            },
            claims=(
                Claim(quantity="margin", level="2", minus="0", at_most=-1.0),
                Claim(quantity="accuracy", level="4", minus="0", at_most=-0.3),
            ),
        ),
        *swaps("which quote it was", beside=True),
        alone(
            "swapped_write",
            "Which quote it was passes through one channel that layer 0 writes, 37: alone it turns the answers.",
            "0.attn.resid_delta.37",
        ),
        Patch(
            name="swapped_neuron",
            prediction=(
                "All that the circuit knows passes through neuron 1599 too, but ablating it costs the whole model "
                "little more than a tenth of a nat: it alone turns less than half of the answers."
            ),
            nodes=("0.mlp.post_act.1599",),
            claims=(Claim(quantity="flipped", level=CHOSEN, at_most=0.5),),
        ),
    ),
)
