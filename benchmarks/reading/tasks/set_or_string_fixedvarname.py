"""Predictions about growing `current` the way it began: as a set or a string.

Made from the circuit of the zoo's memory-512, its weights, and what its head 6 of layer 0 makes of each token alone,
before anything here was measured on it: the head gives ` set` the weight e^5.0, ` ""` and ` ''` with their line end
e^4.4, ` []` e^4.3 and ` {}` e^3.9, everything else e^2 and less, whatever name stands before and wherever it stands;
its values 105 and 109 raise channel 59 for the two strings (0.75) and lower it for the others (-0.1 to -0.3), and the
unembedding reads 59 as ` +=`. `set()` is one token longer than `""`; `if not` makes up for it. What the earlier
models' readings had shown was known by then.
"""

from __future__ import annotations

from benchmarks.reading.experiment import Claim, Prompts, Reading
from benchmarks.reading.swaps import swaps

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
                "The assignment is found by attention over the whole context, so lines between it and the use dilute "
                "its share, though little, as nothing else weighs much: the margin after an empty string shrinks, and "
                "the answer stays."
            ),
            axis="lines between the assignment and the loop",
            levels={str(n): HEAD + assigned() + BALANCE + lines(n) + LOOP + use() for n in (0, 1, 2, 4, 6)},
            claims=(
                Claim(quantity="margin", side="right", level="6", minus="0", at_most=-0.5),
                Claim(quantity="accuracy", level="4", at_least=0.8),
            ),
        ),
        Prompts(
            name="other_holders",
            prediction=(
                "Empty values count on whichever variable they stand, and a set nearly twice: two others of the other "
                "kind turn the answers, towards += as well as towards .add."
            ),
            axis='other variables between: set to "" (below zero) or to set() (above)',
            levels={str(n): HEAD + assigned() + BALANCE + others(n) + LOOP + use() for n in (-2, -1, 0, 1, 2)},
            claims=(
                Claim(quantity="margin", side="left", level="-2", minus="0", at_most=-2.0),
                Claim(quantity="margin", side="right", level="2", minus="0", at_most=-2.0),
                Claim(quantity="accuracy", side="right", level="2", at_most=0.5),
            ),
        ),
        Prompts(
            name="binding",
            prediction=(
                "Names are not bound to values: beside another variable of the other kind both prompts hold the same, "
                "a set and an empty string, and get the same answer, .add, as a set weighs nearly twice."
            ),
            axis="a variable of the other kind is assigned",
            levels={
                "nowhere": HEAD + assigned() + BALANCE + LOOP + use(),
                "before": HEAD + assigned("$holder2", OPPOSITE) + assigned() + LOOP + use(),
                "after": HEAD + assigned() + assigned("$holder2", OPPOSITE) + LOOP + use(),
            },
            claims=(
                Claim(quantity="accuracy", side="left", level="after", at_least=0.8),
                Claim(quantity="accuracy", side="right", level="after", at_most=0.5),
            ),
        ),
        Prompts(
            name="assigned_twice",
            prediction=(
                "Order is not seen: where `current` is set twice, to both kinds, the answer is .add whichever came "
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
                Claim(quantity="accuracy", side="left", level="other kind first", at_least=0.8),
                Claim(quantity="accuracy", side="right", level="other kind first", at_most=0.5),
            ),
        ),
        Prompts(
            name="neither",
            prediction=(
                "Only strings raise channel 59: .add is what is left, so prompts with [], {} or None in place of set() "
                "answer it just the same."
            ),
            axis='value on the left side, against ""',
            levels={
                value: HEAD + assigned(value=f'{{{{{value}|""}}}}') + balance + LOOP + use()
                for value, balance in {"set()": BALANCE, "[]": "", "{}": "", "None": BALANCE}.items()
            },
            claims=(
                Claim(quantity="accuracy", side="left", level="[]", at_least=0.8),
                Claim(quantity="accuracy", side="left", level="{}", at_least=0.8),
                Claim(quantity="accuracy", side="left", level="None", at_least=0.8),
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
    ),
)
