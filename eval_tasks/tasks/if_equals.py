"""After a name, compare it in the condition of an `if`, or assign to it in a statement of its own."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` ==` or ` =` after a name: whether the name follows `if` or starts a statement",
    answers=(" ==", " ="),
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
if $name2 > $number:
    ${thing}s = []
{{elif|   }} $name{{answer}} $number2{{:|}}
---
if not $flag:
    ...
    $flag = True
else:
    print($quote$text$quote)
{{if|   }} $name{{answer}} $number{{:|}}
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
while True:
    $name2 = input($quote$text: $quote)
    if not $name2:
        break
{{if|   }} $name{{answer}} $name2{{:|}}
""",
)
