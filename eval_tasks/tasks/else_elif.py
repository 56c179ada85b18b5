"""End the line after `else`, but not after `elif`."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` + newline or anything else: after `else` or after `elif`",
    answers=(":\n", None),
    same_tail=0,
    templates="""
...
if $name > $number:
    print($name)
{{else|elif}}{{answer}}{{| $name == $number:}}
    $name = $number2
---
...
def $verb_$name($flag, $name):
    if $flag:
        return $number
    {{else|elif}}{{answer}}{{| $name:}}
        return $name
---
...
for $thing in ${thing}s:
    if $thing.$flag:
        ...
        $name += 1
    {{else|elif}}{{answer}}{{| $flag2:}}
        print($thing)
---
class $class:
    def $verb(self, $name):
        if self.$name == $name:
            return True
        {{else|elif}}{{answer}}{{| $name:}}
            return False
---
def $verb_${thing}s(${thing}s):
    for i, $thing in enumerate(${thing}s):
        if i % 2 == 0:
            print($quote$text$quote)
        {{else|elif}}{{answer}}{{| $thing:}}
            print(i)
---
...
if not $flag:
    $holder = [$number, $number2]
{{else|elif}}{{answer}}{{| $flag2:}}
    $holder = []
---
while $flag:
    if $name == $quote$text$quote:
        $flag = False
    elif $name == $quote$text2$quote:
        print($name)
    {{else|elif}}{{answer}}{{| $flag2:}}
        break
---
def $verb_$thing($thing):
    if $thing is None:
        return None
    {{else|elif}}{{answer}}{{| $thing.$name:}}
        return $thing.$name
""",
)
