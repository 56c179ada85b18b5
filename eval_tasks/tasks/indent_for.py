"""Indent the next line, one level deeper if this line opened a `for` block.

The last space before a word is part of the word's token. So the answers, 7 and 3 spaces, mean indentations of 8 and 4.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="the indentation of the next line: whether the previous line opened a `for` block",
    answers=("       ", "   "),
    max_differing=8,
    single=(".$name3",),
    same_tail=0,
    templates="""
...
def $verb_${thing}s(${thing}s):
    {{for $thing in ${thing}s:|$name = $number}}
{{answer}} print($thing)
---
...
def $verb_$name($name, ${thing}s):
    ...
    {{for $thing in ${thing}s:|$name2 = $thing.$name3}}
{{answer}} $name += $number
---
def $verb_$name($name, $name2):
    $name3 = $number
    {{for i in range($name):|$name4 = $name2 + $name}}
{{answer}} $name3 += $name2
---
...
def $verb():
    {{for $thing in ${thing}s:|$flag = not $flag2}}
{{answer}} print($name)
---
...
def $verb_${thing}s(${thing}s, $name):
    if $name > $number:
        return None
    {{for $thing in ${thing}s:|print($name, $thing)}}
{{answer}} $name += 1
---
class $class:
    $name = $number
    {{for $thing in ${thing}s:|$name2 = $thing.$name3}}
{{answer}} print($name)
---
def $verb_${thing}s(${thing}s, $name):
    $holder = []
    {{for i, $thing in enumerate(${thing}s):|$name2, $name = $name, $name2}}
{{answer}} $holder.append($name)
---
for $thing in ${thing}s:
    {{for i in range($name):|$name2 = $name * $name3}}
{{answer}} print($thing)
""",
)
