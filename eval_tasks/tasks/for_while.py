"""Go on after the name that follows `for` or `while`."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` in` or `:` + newline: `for x` or `while x`",
    answers=(" in", ":\n"),
    templates="""
...
def $verb_${thing}s($name, $name2):
    ...
    {{for|while}} $flag{{answer}}{{ $name:|}}
        print($name2)
---
...
$name = $number
{{for|while}} $flag{{answer}}{{ ${thing}s:|}}
    $name += 1
---
...
class $class:
    def $verb(self):
        {{for|while}} $flag{{answer}}{{ self.$name:|}}
            self.$name = $number
---
def $verb_$name($flag, ${thing}s):
    if $flag:
        ...
        {{for|while}} ${thing}s{{answer}}{{ $name:|}}
            print($name)
---
...
${thing}s = [$quote$text$quote, $quote$text2$quote]
{{for|while}} $flag{{answer}}{{ ${thing}s:|}}
    print(${thing}s)
---
for $thing in ${thing}s:
    {{for|while}} $flag{{answer}}{{ $thing.$name:|}}
        print($thing)
---
def $verb($flag2):
    $holder = []
    while $flag2:
        {{for|while}} $flag{{answer}}{{ $holder:|}}
            $holder.append($flag)
---
with open($quote$source.txt$quote) as f:
    $name = f.read()
{{for|while}} $flag{{answer}}{{ $name:|}}
    print($name)
""",
)
