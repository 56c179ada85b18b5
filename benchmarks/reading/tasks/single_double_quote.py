"""Predictions about closing a string with the quote that opened it.

What they test: whether the model follows the string that is open, or counts quotes wherever they stand. A sparse
model without positions can hardly do the first in one layer; the lines below tell the two apart.
"""

from __future__ import annotations

from benchmarks.reading.experiment import Claim, Prompts, Reading
from benchmarks.reading.swaps import swaps

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
                "The keys single out tokens with a quote, and nothing tells near ones from far ones: words between "
                "the quotes change little, however many."
            ),
            axis="words between the opening quote and the closing one",
            levels={str(words): inside(words) for words in (1, 2, 4, 8, 16)},
            claims=(
                Claim(quantity="margin", level="16", minus="1", at_least=-1.0),
                Claim(quantity="accuracy", level="16", at_least=0.9),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_other_quote",
            prediction=(
                "Nothing in the circuit knows that a string is closed: finished strings with the other quote before "
                "the open one pull the answer towards their own quote, the more of them the further."
            ),
            axis="finished strings with the other quote, on lines before",
            levels={str(count): after(strings(OTHER, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(
                Claim(quantity="margin", level="2", minus="0", at_most=-1.0),
                Claim(quantity="accuracy", level="6", minus="0", at_most=-0.3),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_same_quote",
            prediction=(
                "Attention averages over the quotes there are, and an average of equal ones stays what it is: finished "
                "strings with the same quote change little."
            ),
            axis="finished strings with the same quote, on lines before",
            levels={str(count): after(strings(SAME, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(
                Claim(quantity="margin", level="6", minus="0", at_least=-0.5),
                Claim(quantity="margin", level="6", minus="0", at_most=0.5),
            ),
        ),
        Prompts(
            name="stray_quote_in_a_comment",
            prediction=(
                "A quote in a comment counts like any other: a stray ' moves prompts opened by \" towards ', and a "
                'stray " moves prompts opened by \' towards ".'
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
                Claim(quantity="margin", side="right", level="stray '", minus="no quote", at_most=-0.5),
                Claim(quantity="margin", side="left", level='stray "', minus="no quote", at_most=-0.5),
            ),
        ),
        Prompts(
            name="other_quote_inside_the_string",
            prediction=(
                "Quotes of the other kind inside the open string are not told from quotes that open one: they narrow "
                "the margin, and several turn the answer."
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
        *swaps("which quote it was"),
    ),
)
