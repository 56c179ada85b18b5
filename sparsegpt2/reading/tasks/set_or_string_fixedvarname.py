"""Predictions about growing `current` the way it began: as a set or a string.

Made from the circuit of the zoo's memory-768, its weights, and what its head 6 of layer 0 makes of each token alone,
before anything here was measured on it: the head gives ` set`, ` ""` and ` ''` with their line end the weight e^1.8,
` []` and ` {}` e^1.6, its sink e^1.6 and everything else e^-0.1 and less, all but one name, and later tokens a little
more (e^0.03 a token). Value 100 is on at the two strings alone, value 102 at ` set` alone; a neuron each writes
residual channel 194, down for a string and up for a set, and the unembedding reads low as ` +=`. The string's channel
shuts the set's neuron, too. `set()` is one token longer than `""`; `if not` makes up for it. What the earlier models'
readings had shown was known by then.
"""

from __future__ import annotations

from sparsegpt2.reading.experiment import Claim, Prompts, Reading
from sparsegpt2.reading.swaps import alone, swaps

KIND, OPPOSITE = '{{set()|""}}', '{{""|set()}}'
HEAD = "def $verb_${thing}s(${thing}s, $flag):\n"
BALANCE = "    {{if|if not}} $flag:\n        print($flag)\n"
LOOP = "    for $thing in ${thing}s:\n"


def use(name: str = "current") -> str:
    """The line that asks."""
    return f"        {name}{{{{answer}}}}{{{{($thing)| $thing}}}}\n"


def assigned(name: str = "current", value: str = KIND) -> str:
    """The line that decides, or one that looks like it."""
    return f"    {name} = {value}\n"


def lines(count: int) -> str:
    """So many lines that ask nothing."""
    return "".join(f"    $name{2 + i} = $number{2 + i}\n" for i in range(count))


def others(count: int) -> str:
    """So many other variables set to a set, or (below zero) to an empty string, behind the first assignment."""
    value = "set()" if count > 0 else '""'
    return "".join(assigned(f"$holder{2 + i}", value) for i in range(abs(count)))


READING = Reading(
    sides=("current = set()", 'current = ""'),
    experiments=(
        Prompts(
            name="distance",
            prediction=(
                "Nothing else weighs against the empty value but the sink, which is one at any length: six lines "
                "between the assignment and the use cost less than a nat, and no answer."
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
                "Empty values count on whichever variable they stand, and as a string's channel shuts the set's "
                "neuron, a string wins: one other variable set to an empty string turns sets, two others set to sets "
                "do not turn a string."
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
                "Names are not bound to values: beside another variable of the other kind both prompts hold the same, "
                "a set and an empty string, and get the same answer, +=, as a string shuts the set's neuron."
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
                "Order is hardly seen: where `current` is set twice, to both kinds, the answer is += whichever came "
                "last."
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
                "Only a set turns value 102 on: with [], {} or None in place of set() channel 194 stays where it was, "
                "and .add loses against what it has after a set."
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
            prediction="The head makes the same of '' as of \"\": both are answered +=.",
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
                "The head asks by the name at the end: with a name that stands for numbers elsewhere it does not, and "
                "answers suffer."
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
        *swaps("the kind"),
        alone(
            "swapped_channel",
            "Both neurons write one channel, 194, and the unembedding reads it: alone it turns the answers.",
            "0.mlp.resid_delta.194",
        ),
    ),
)
