"""Predictions about closing a string with the quote that opened it.

The predictions were made from the circuit in the zoo's model memory-768, from the model's weights, and from what head
43 of layer 0 does with each token on its own. What readings of circuits in earlier models had shown was known, but none
of these experiments had been run on this model.

In head 43, a token gets attention in proportion to its weight, which is e to the power of its score. With the query at
position 60, opening quotes have a weight of e^5.4 to e^5.7, closing quotes e^3.8 to e^6.2 and words e^3.8 to e^4.5. The
weight grows by a factor of e^0.33 with each later position. Channel 692 of v is on (far from zero) at `("` and ` "` and
off at `('`, ` '` and all closing quotes. So there is a signal if `"` opened the string, and none if `'` did. This value
channel writes residual channels 129 and 287. In response, neurons 827 and 1365 of layer 0 and 1196 of layer 1 change
residual channel 705, which the unembedding then reads as `")`.
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
"""Templates with a string that is still open where the answer is due, and more code after it."""

SAME, OTHER = """{{'|"}}""", """{{"|'}}"""
"""In a template: the quote that opens the string, and the other quote (left prompt | right prompt)."""


def after(line: str) -> str:
    """The templates of `OPEN`, each with `line` put before it."""
    return "---\n".join(line + part for part in OPEN.split("---\n"))


def inside(words: int) -> str:
    """A template whose open string has `words` words; the same six words are used in turn."""
    slots = [f"$text{1 + i % 6}" for i in range(words)]
    return f"print({SAME}{' '.join(slots)}{{{{answer}}}} if $flag else None\n"


def strings(quote: str, count: int) -> str:
    """`count` lines that each contain one finished string in the given quotes."""
    return "".join(f"print({quote}$person{1 + i % 2}{quote})\n" for i in range(count))


READING = Reading(
    sides=("' opened the string", '" opened the string'),
    experiments=(
        Prompts(
            name="distance",
            prediction=(
                "Later tokens have a larger weight, and a word seven tokens after the opening quote has as much weight "
                "as the quote. So in long strings the signal is lost. As there is no signal for ', strings opened by "
                "\" are closed by ', and strings opened by ' are closed correctly."
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
                "Later quotes have a larger weight, by a factor of e^2 or more if they are a line apart. So finished "
                "strings with the other quote on the lines before can narrow the margin, but turn almost no answers."
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
                "Quotes of the same kind on the lines before have much less weight than the last one, and they favour "
                "the same answer, so they hardly matter."
            ),
            axis="finished strings with the same quote, on lines before",
            levels={str(count): after(strings(SAME, count)) for count in (0, 1, 2, 3, 4, 6)},
            claims=(Claim(quantity="margin", level="6", minus="0", at_least=-0.5),),
        ),
        Prompts(
            name="stray_quote_in_a_comment",
            prediction=(
                "A stray ' does not turn the value channel on and gets little attention. A stray \" gives the same "
                "signal as any other \", so it narrows the margin of strings opened by ' a little."
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
                "Quotes of the other kind inside the open string have a larger weight than the one that opened it, "
                "because they are later, and the circuit cannot tell the two apart. So they turn answers."
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
        *swaps("the kind of quote"),
        alone(
            "swapped_write",
            "Head 43 writes the kind of quote mainly into one channel, 287: patching it alone turns the answers.",
            "0.attn.resid_delta.287",
        ),
        Patch(
            name="swapped_neuron",
            prediction=(
                "Neuron 1196 of layer 1 contributes most to the answer: patching it alone turns half of the answers."
            ),
            nodes=("1.mlp.post_act.1196",),
            claims=(Claim(quantity="flipped", level=CHOSEN, at_least=0.5),),
        ),
    ),
)
