"""Go on after the name that follows `for` or `while`."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` in` or `:` + newline: `for x` or `while x`",
    answers=(" in", ":\n"),
    templates="""
...
def $verb_${thing}s(${thing}s):
    ...
    {{for|while}} $thing{{answer}}{{ ${thing}s:|}}
        print($thing)
---
...
$name = $number
{{for|while}} $flag{{answer}}{{ ${thing}s:|}}
    $name += 1
---
...
class $class:
    def $verb(self):
        {{for|while}} $flag{{answer}}{{ self.${thing}s:|}}
            self.$name = $number
---
def $verb_$name($flag, ${thing}s):
    if $flag:
        ...
        {{for|while}} $thing{{answer}}{{ ${thing}s:|}}
            print($thing)
---
...
${thing}s = [$quote$text$quote, $quote$text2$quote]
{{for|while}} $thing{{answer}}{{ ${thing}s:|}}
    print($thing)
---
for $thing in ${thing}s:
    {{for|while}} $thing2{{answer}}{{ $thing.$name:|}}
        print($thing2)
---
def $verb($flag):
    $holder = []
    while $flag:
        {{for|while}} $thing{{answer}}{{ $holder:|}}
            $holder.append($thing)
---
with open($quote$source.txt$quote) as f:
    {{for|while}} $name{{answer}}{{ f:|}}
        print($name)
""",
)
