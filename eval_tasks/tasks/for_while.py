"""Continue after the name that follows `for` or `while`.

The names are nouns such as `item`, because in ordinary code nouns follow both keywords.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` in` or `:` + newline: `for x` or `while x`",
    answers=(" in", ":\n"),
    templates="""
...
def $verb_${thing}s($name, $name2):
    ...
    {{for|while}} $thing{{answer}}{{ $name:|}}
        print($name2)
---
...
$name = $number
{{for|while}} $thing{{answer}}{{ ${thing}s:|}}
    $name += 1
---
...
class $class:
    def $verb(self):
        {{for|while}} $thing{{answer}}{{ self.$name:|}}
            self.$name = $number
---
def $verb_$name($flag, ${thing}s):
    if $flag:
        ...
        {{for|while}} $thing{{answer}}{{ ${thing}s:|}}
            print($name)
---
...
${thing}s = [$quote$text$quote, $quote$text2$quote]
{{for|while}} $thing{{answer}}{{ ${thing}s:|}}
    print(${thing}s)
---
for $thing2 in ${thing2}s:
    {{for|while}} $thing{{answer}}{{ $thing2.$name:|}}
        print($thing)
---
def $verb($flag2):
    $holder = []
    while $flag2:
        {{for|while}} $thing{{answer}}{{ $holder:|}}
            $holder.append($thing)
---
with open($quote$source.txt$quote) as f:
    $name = f.read()
{{for|while}} $thing{{answer}}{{ $name:|}}
    print($name)
""",
)
