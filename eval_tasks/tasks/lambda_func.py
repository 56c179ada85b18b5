"""Go on after the name that follows `lambda` or `def`.

What stands before the two is as long as needed for them to come at the same position.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` or `(`: `lambda name` or `def name`",
    answers=(":", "("),
    max_differing=7,
    single=(" $helper", " $name1"),
    templates="""
...
for $thing in ${thing}s:
    if $flag:
        {{$helper = lambda|break


def}} $name1{{answer}}{{ $name1 + $number|$parameter, $flag2):}}
---
...
def $verb_$name2($name2):
    if $name2 > $number:
        {{$helper = lambda|return


def}} $name1{{answer}}{{ $name1 * $number2|$parameter, $flag):}}
---
...
class $class:
    {{$helper = lambda|pass


def}} $name1{{answer}}{{ $name1 - $number|$parameter, $flag):}}
---
def $verb_${thing}s(${thing}s):
    ...
    {{${thing}s.sort(key=lambda|return ${thing}s


def}} $name1{{answer}}{{ -$name1)|$parameter, $flag):}}
---
...
def $verb_$name2($flag):
    while $flag:
        {{$helper = lambda|continue


def}} $name1{{answer}}{{ $name1 + $name2|$parameter, $flag2):}}
---
def $verb_${thing}s(${thing}s, $name2):
    {{$holder = sorted(${thing}s, key=lambda|$name2 = $name2 + $name3


def}} $name1{{answer}}{{ $name1.$name2)|$parameter, $flag):}}
""",
)
