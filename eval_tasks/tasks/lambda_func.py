"""Continue after the name that follows `lambda` or `def`.

The tokenizer merges the opening bracket after `def name` with what follows it: the first parameter, or `):` and the end
of the line. Here the functions have no parameters. The text before `lambda` and before `def` is chosen so that both
prompts have the same length.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` or `():` + newline: `lambda name` or `def name`",
    answers=(":", "():\n"),
    max_differing=7,
    single=(" $helper", " $name1"),
    templates="""
...
for $thing in ${thing}s:
    if $flag:
        {{$helper = lambda|break


def}} $name1{{answer}}{{ $name1 + $number|    return $number}}
---
...
def $verb_$name2($name2):
    if $name2 > $number:
        {{$helper = lambda|return


def}} $name1{{answer}}{{ $name1 * $number2|    return $number}}
---
...
class $class:
    def $verb(self):
        {{$helper = lambda|return


def}} $name1{{answer}}{{ $name1 - $number|    return $number}}
---
def $verb_${thing}s(${thing}s):
    ...
    {{${thing}s.sort(key=lambda|return ${thing}s


def}} $name1{{answer}}{{ -$name1)|    return $number}}
---
...
def $verb_$name2($flag):
    while $flag:
        {{$helper = lambda|break


def}} $name1{{answer}}{{ $name1 + $name2|    return $number}}
---
def $verb_${thing}s(${thing}s, $name2):
    {{$holder = sorted(${thing}s, key=lambda|$name2 = $name2 + $name3


def}} $name1{{answer}}{{ $name1.$name2)|    return $number}}
""",
)
