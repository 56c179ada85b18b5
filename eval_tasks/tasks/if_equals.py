"""Compare a name in an `if`, assign to it in a statement."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` ==` or ` =` after a name: `if name` or a statement",
    answers=(" ==", " ="),
    max_differing=2,
    templates="""
...
for $thing in ${thing}s:
    print($thing)
{{if|   }} $name{{answer}} $number{{:|}}
---
...
if $flag:
    ...
    print($quote$text$quote)
{{if|   }} $name{{answer}} $name2{{:|}}
---
$name2 = $number
while $name2 < $number2:
    $name2 += 1
{{if|   }} $name{{answer}} $name2{{:|}}
---
...
class $class:
    def $verb(self, $name):
        {{if not|$name2,}} self.$name{{answer}} $name{{:|, $number}}
---
def $verb_${thing}s(${thing}s):
    for $thing in ${thing}s:
        ...
        {{if not|$name,}} $name2{{answer}} $number{{:|, $number2}}
---
with open($quote$source.txt$quote) as f:
    $holder = f.read()
{{if|   }} $name{{answer}} $quote$text$quote{{:|}}
---
...
for i in range($number):
    $holder.append(i)
{{if|   }} $name{{answer}} i{{:|}}
---
def $verb_$name($name, $name2):
    ...
    {{if not|$name3,}} $name{{answer}} $name2{{:|, $name}}
""",
)
