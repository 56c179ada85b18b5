"""Predictions about closing a string with the quote that opened it.

Made from the circuit of the zoo's memory-768, its weights, and what its head 43 of layer 0 makes of each token alone,
before anything here was measured on it: the head gives opening quotes e^5.4 to e^5.7, closing ones e^3.8 to e^6.2,
words e^3.8 to e^4.5, and every later token e^0.33 more, asked at position 60. Value 692 is on at `("` and ` "` and off
at `('`, ` '` and all closing quotes: that `"` opened the string is a signal, that `'` did is none. It writes channels
129 and 287, which neurons 827 and 1365 of layer 0 and 1196 of layer 1 turn into 705, read as `")`. What the earlier
models' readings had shown was known by then.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import CHOSEN, Claim, Patch, Prompts, Reading
from sparsegpt2.reading.swaps import alone, swaps

OPEN = """print({{'|"}}$text{{answer}} if $flag else None
---
$name = $thing.index({{'|"}}$text{{answer}} + $number
---
print({{'|"}}$label: $text{{answer}} if $name == $number else None
"""
"""A string that is still open, with more code after it."""

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
                "Later tokens weigh more, and a word seven tokens behind the quote as much as it: in long strings the "
                "signal is lost, and as there is none for ', those opened by \" are closed by ', and the others right."
            ),
            axis="words between the opening quote and the closing one",
            levels={str(words): inside(words) for words in (1, 2, 4, 8, 16)},
            claims=(
                Claim(quantity="margin", side="right", level="16", minus="1", at_most=-2.0),
                Claim(quantity="accuracy", side="right", level="16", at_most=0.5),
                Claim(quantity="accuracy", side="left", level="16", at_least=0.9),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_other_quote",
            prediction=(
                "Later quotes weigh more, e^2 and above for those a line apart: finished strings with the other quote "
                "on lines before narrow the margin at most, and turn next to no answer."
            ),
            axis="finished strings with the other quote, on lines before",
            levels={str(count): after(strings(OTHER, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(
                Claim(quantity="accuracy", level="2", at_least=0.9),
                Claim(quantity="accuracy", level="6", at_least=0.8),
            ),
        ),
        Prompts(
            name="earlier_strings_of_the_same_quote",
            prediction=(
                "Equal quotes on lines before are far behind the last one and speak for the same: they hardly matter."
            ),
            axis="finished strings with the same quote, on lines before",
            levels={str(count): after(strings(SAME, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(Claim(quantity="margin", level="6", minus="0", at_least=-0.5),),
        ),
        Prompts(
            name="stray_quote_in_a_comment",
            prediction=(
                "A stray ' says nothing to the value channel and takes little attention; a stray \" says what it says "
                "anywhere, and narrows the margin of strings opened by ' a little."
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
                Claim(quantity="margin", side="right", level="stray '", minus="no quote", at_least=-0.5),
                Claim(quantity="margin", side="left", level='stray "', minus="no quote", at_most=-0.3),
                Claim(quantity="accuracy", side="left", level='stray "', at_least=0.9),
            ),
        ),
        Prompts(
            name="other_quote_inside_the_string",
            prediction=(
                "Quotes of the other kind inside the open string weigh more than the one that opened it, being later, "
                "and nothing tells them apart: they turn answers."
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
        alone(
            "swapped_write",
            "Which quote it was is written by head 43 above all into one channel, 287: alone it turns the answers.",
            "0.attn.resid_delta.287",
        ),
        Patch(
            name="swapped_neuron",
            prediction="Of what makes the answer, neuron 1196 of layer 1 does most: alone it turns half of them.",
            nodes=("1.mlp.post_act.1196",),
            claims=(Claim(quantity="flipped", level=CHOSEN, at_least=0.5),),
        ),
    ),
)
