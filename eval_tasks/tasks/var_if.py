"""End the line after `x == True` with a colon in an `if`, or without one in an assignment."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` + newline or newline after `x == True`: an `if` or an assignment",
    answers=(":\n", "\n"),
    max_differing=2,
    single=(" $flag2", "$flag2"),
    templates="""
...
def $verb_$name($flag, $name):
    ...
    {{if not|$flag2 =}} $flag == True{{answer}}
{{    |}}    return $name
---
...
for $thing in ${thing}s:
    print($thing)
{{    if|$flag2 =}} $flag == True{{answer}}
{{        |}}print($name)
---
class $class:
    def $verb(self, $flag):
        {{if not|$flag2 =}} self.$flag == True{{answer}}
{{    |}}        return $flag
---
$flag = $name > $number
while $name < $number2:
    $name += 1
{{    if|$flag2 =}} $flag == True{{answer}}
{{        |}}print($name)
---
...
def $verb_${thing}s(${thing}s):
    for $thing in ${thing}s:
        {{if not|$flag2 =}} $thing.$flag == True{{answer}}
{{    |}}        print($thing)
---
if $name == $number:
    ...
    $flag = $name2 < $number2
{{    if|$flag2 =}} $flag == True{{answer}}
{{        |}}print($name)
---
$flag = False
{{if not|$flag2 =}} $flag == True{{answer}}
{{    |}}print($quote$text$quote)
---
...
for i in range($number):
    $name += i
{{    if|$flag2 =}} $thing.$flag == True{{answer}}
{{        |}}print($thing)
""",
)
