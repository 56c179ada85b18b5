"""Continue with `as` after `with open(...)`, or end the line after `f = open(...)`.

A closing bracket and a line break after it are one token. So the model already decides at the bracket: `)`, which ` as`
follows, or `)` + newline. The `with` is indented as part of the block above it, and the assignment is not. This gives
both prompts the same number of tokens.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`)` (before ` as`) or `)` + newline: `with open(...)` or `f = open(...)`",
    answers=(")", ")\n"),
    max_differing=3,
    single=("$holder",),
    templates="""
...
for $thing in ${thing}s:
    print($thing)
{{    with|f =}} open(${source}_path{{answer}}{{ as f:|}}
{{        |}}$name = f.read()
---
...
if $flag:
    $name = $number
{{    with|f =}} open(${target}_path{{answer}}{{ as f:|}}
{{        |}}print(f)
---
${thing}s = [$number, $number2]
while ${thing}s:
    $thing = ${thing}s.pop()
{{    with|file =}} open(${source}_file{{answer}}{{ as file:|}}
{{        |}}print(file)
---
...
if $name == $number:
    print($quote$text$quote)
else:
    ...
    $name += 1
{{    with|$holder =}} open(${source}_file{{answer}}{{ as f:|}}
{{        |}}print($name)
---
def $verb_$name(${source}_path):
    print($quote$text$quote)
{{    with|f =}} open(${source}_path{{answer}}{{ as f:|}}
{{        |}}print(f)
---
...
for i in range($number):
    ...
    ${target}_path = $quote$text$quote
{{    with|f =}} open(${target}_path{{answer}}{{ as f:|}}
{{        |}}print(f)
---
if __name__ == "__main__":
    $name = len(${thing}s)
{{    with|file =}} open(${source}_path{{answer}}{{ as file:|}}
{{        |}}print($name)
---
...
if not $flag:
    print($quote$label: $text$quote)
{{    with|f =}} open(${name}_file{{answer}}{{ as f:|}}
{{        |}}for line in f:
""",
)
