"""End the line after ` True` with a colon in `while True`, or without one in `return True`."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` + newline or newline, after ` True`: `while True` or `return True`",
    answers=(":\n", "\n"),
    templates="""
...
def $verb_$name($name):
    if $name > $number:
        {{while|return}} True{{answer}}
    {{        |}}return False
---
...
def $verb_${thing}s(${thing}s):
    for $thing in ${thing}s:
        ...
        if $thing.$name == $number:
            {{while|return}} True{{answer}}
    {{            |}}return False
---
class $class:
    def is_$flag(self):
        if self.$flag:
            {{while|return}} True{{answer}}
        {{        |}}return False
---
def $verb($flag, $name):
    while $flag:
        if $name == $quote$text$quote:
            {{while|return}} True{{answer}}
        {{        |}}$name += 1
---
...
def $verb_$thing($thing, $name):
    if not $thing:
        print($quote$text$quote)
        {{while|return}} True{{answer}}
    {{        |}}print($thing)
---
...
def $verb_${thing}s(${thing}s, $name):
    if $name in ${thing}s:
        ...
        {{while|return}} True{{answer}}
    {{        |}}return False
---
def $verb_$name($name, $name2):
    if $name < $name2:
        return False
    elif $name == $number:
        {{while|return}} True{{answer}}
    {{        |}}print($name)
---
class $class:
    def $verb(self, $name):
        if self.$name == $name:
            ...
            {{while|return}} True{{answer}}
        {{        |}}self.$name = $name
""",
)
