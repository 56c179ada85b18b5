"""Predictions about how code adds to the variable `current`, which was set to `set()` or to an empty string before.

The predictions were made from the circuit in the zoo's model memory-768, from the model's weights, and from what head 6
of layer 0 does with each token on its own. What readings of circuits in earlier models had shown was known, but none of
these experiments had been run on this model.

In head 6, a token gets attention in proportion to its weight, which is e to the power of its score. The token ` set`
has a weight of e^1.8, and so have ` ""` and ` ''`, which are tokens together with their line end. ` []`, ` {}` and the
sink have e^1.6. All other tokens except one name have e^-0.1 or less. The weight grows by a factor of e^0.03 with each
later position. A value channel is a channel of v. Value channel 100 is on (far from zero) only at the two empty
strings, and value channel 102 only at ` set`. Each of these two channels has a neuron that writes residual channel 194:
the string's neuron lowers it, and the set's neuron raises it. The unembedding reads a low value of this channel
as ` +=`. The channel of the string also turns off the neuron of the set.

`set()` has one token more than `""`. To make both prompts equally long, the prompts with `""` have `if not` instead of
`if`.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import Claim, Prompts, Reading
from sparsegpt2.reading.swaps import alone, swaps

KIND, OPPOSITE = '{{set()|""}}', '{{""|set()}}'
HEAD = "def $verb_${thing}s(${thing}s, $flag):\n"
BALANCE = "    {{if|if not}} $flag:\n        print($flag)\n"
LOOP = "    for $thing in ${thing}s:\n"
"""Parts of the templates. `KIND` and `OPPOSITE` are the values on the left and right side: set and string, or string
and set. `BALANCE` makes both sides equally long."""


def use(name: str = "current") -> str:
    """The last line: the variable `name`, then the answer and the code that goes with it."""
    return f"        {name}{{{{answer}}}}{{{{($thing)| $thing}}}}\n"


def assigned(name: str = "current", value: str = KIND) -> str:
    """A line that assigns `value` to the variable `name`."""
    return f"    {name} = {value}\n"


def lines(count: int) -> str:
    """`count` lines that assign numbers to other variables."""
    return "".join(f"    $name{2 + i} = $number{2 + i}\n" for i in range(count))


def others(count: int) -> str:
    """Lines that set other variables: `count` of them to a set or, if it is below 0, -`count` to an empty string."""
    value = "set()" if count > 0 else '""'
    return "".join(assigned(f"$holder{2 + i}", value) for i in range(abs(count)))


READING = Reading(
    sides=("current = set()", 'current = ""'),
    experiments=(
        Prompts(
            name="distance",
            prediction=(
                "Only the sink has enough weight to compete with the empty value, and there is one sink at any length. "
                "So six lines between the assignment and the use cost less than a nat and turn no answer."
            ),
            axis="lines between the assignment and the loop",
            levels={str(n): HEAD + assigned() + BALANCE + lines(n) + LOOP + use() for n in (0, 1, 2, 4, 6)},
            claims=(
                Claim(quantity="margin", level="6", minus="0", at_least=-1.0),
                Claim(quantity="accuracy", level="6", at_least=0.9),
            ),
        ),
        Prompts(
            name="other_holders",
            prediction=(
                "An empty value counts whichever variable it is assigned to. A string wins over a set, because the "
                "string's channel turns off the set's neuron: one other variable set to an empty string turns the "
                "answers for sets, but two other variables set to sets do not turn the answers for strings."
            ),
            axis='other variables between: set to "" (below zero) or to set() (above)',
            levels={str(n): HEAD + assigned() + BALANCE + others(n) + LOOP + use() for n in (-2, -1, 0, 1, 2)},
            claims=(
                Claim(quantity="accuracy", side="left", level="-1", at_most=0.5),
                Claim(quantity="accuracy", side="left", level="-2", at_most=0.2),
                Claim(quantity="accuracy", side="right", level="2", at_least=0.8),
            ),
        ),
        Prompts(
            name="binding",
            prediction=(
                "Names are not bound to values. With another variable of the other kind, both prompts contain a set "
                "and an empty string. Both get the same answer, +=, because a string turns off the set's neuron."
            ),
            axis="a variable of the other kind is assigned",
            levels={
                "nowhere": HEAD + assigned() + BALANCE + LOOP + use(),
                "before": HEAD + assigned("$holder2", OPPOSITE) + assigned() + LOOP + use(),
                "after": HEAD + assigned() + assigned("$holder2", OPPOSITE) + LOOP + use(),
            },
            claims=(
                Claim(quantity="accuracy", side="right", level="after", at_least=0.8),
                Claim(quantity="accuracy", side="left", level="after", at_most=0.5),
            ),
        ),
        Prompts(
            name="assigned_twice",
            prediction=(
                "The order hardly matters: if `current` is set twice, to a set and to a string, the answer is += "
                "whichever comes last."
            ),
            axis="assignments of `current`",
            levels={
                "once": HEAD + assigned() + BALANCE + LOOP + use(),
                "other kind first": HEAD + assigned(value=OPPOSITE) + assigned() + LOOP + use(),
                "other kind first, a line between": HEAD
                + assigned(value=OPPOSITE)
                + lines(1)
                + assigned()
                + LOOP
                + use(),
            },
            claims=(
                Claim(quantity="accuracy", side="right", level="other kind first", at_least=0.8),
                Claim(quantity="accuracy", side="left", level="other kind first", at_most=0.5),
            ),
        ),
        Prompts(
            name="neither",
            prediction=(
                "Only a set turns value 102 on. With [], {} or None in place of set(), channel 194 does not change, "
                "and the margin of .add is smaller than after a set."
            ),
            axis='value on the left side, against ""',
            levels={
                value: HEAD + assigned(value=f'{{{{{value}|""}}}}') + balance + LOOP + use()
                for value, balance in {"set()": BALANCE, "[]": "", "{}": "", "None": BALANCE}.items()
            },
            claims=(
                Claim(quantity="margin", side="left", level="[]", minus="set()", at_most=-1.0),
                Claim(quantity="margin", side="left", level="{}", minus="set()", at_most=-1.0),
                Claim(quantity="margin", side="left", level="None", minus="set()", at_most=-1.0),
            ),
        ),
        Prompts(
            name="other_empty_string",
            prediction="The head treats '' in the same way as \"\": both are answered by +=.",
            axis="value on the right side, against set()",
            levels={
                value: HEAD + assigned(value=f"{{{{set()|{value}}}}}") + BALANCE + LOOP + use()
                for value in ('""', "''")
            },
            claims=(
                Claim(quantity="accuracy", side="right", level="''", at_least=0.9),
                Claim(quantity="margin", side="right", level="''", minus='""', at_least=-1.0),
            ),
        ),
        Prompts(
            name="variable",
            prediction=(
                "The head's query comes from the name at the end of the prompt. A name that stands for numbers "
                "elsewhere does not produce it, and accuracy falls."
            ),
            axis="name of the variable",
            levels={
                level: HEAD + assigned(name) + BALANCE + LOOP + use(name)
                for level, name in {
                    "current": "current",
                    "found": "found",
                    "letters": "letters",
                    "names of holders": "$holder2",
                    "names of numbers": "$name2",
                }.items()
            },
            claims=(Claim(quantity="accuracy", level="names of numbers", minus="current", at_most=-0.1),),
        ),
        *swaps("the kind of value"),
        alone(
            "swapped_channel",
            "Both neurons write one channel, 194, which the unembedding reads: patching it alone turns the answers.",
            "0.mlp.resid_delta.194",
        ),
    ),
)
