"""Finish the swap of two variables."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="the name after `x, y = y,`: the first name on the left side",
    answers=(" $name1", " $name2"),
    max_differing=3,
    single=("$name1", "$name2"),
    everywhere=("name1", "name2"),
    templates="""
...
print($thing)
{{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
...
def $verb_$name3($name1, $name2):
    {{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
...
def $verb($name2, $name1, $flag):
    if $flag:
        {{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
$name1 = $number
$name2 = len(${thing}s)
{{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
...
for $thing in ${thing}s:
    ...
    if $name1 > $name2:
        {{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
$name2 = len(${thing}s)
$name1 = $name3 * $number
# $text
{{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
class $class:
    def $verb(self, $name1, $name2):
        {{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
---
while $flag:
    $name1 = $name2 + $number
    {{$name1, $name2 = $name2|$name2, $name1 = $name1}},{{answer}}
""",
)
