"""Extend a variable in the way that suits its first value, a set or a string.

The empty string is one token shorter than `set()`. To keep the prompts equally long, the prompt with the string has one
more token in another line: `not`, `=None` or an attribute such as `.size`, depending on the template.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description='`.add` or ` +=` after a variable: whether it was set to `set()` or to `""`',
    answers=(".add", " +="),
    max_differing=7,
    single=(".$name2",),
    templates="""
...
def $verb_${thing}s(${thing}s, $flag):
    $holder1 = {{set()|""}}
    {{if|if not}} $flag:
        print($flag)
    for $thing in ${thing}s:
        $holder1{{answer}}{{($thing)| $thing}}
---
...
def $verb_${thing}s(${thing}s, $name{{|=None}}):
    $holder1 = {{set()|""}}
    for $thing in ${thing}s:
        ...
        $holder1{{answer}}{{($thing)| $thing}}
---
def $verb_$name($flag, $name):
    $holder1 = {{set()|""}}
    {{while|while not}} $flag:
        ...
        $holder1{{answer}}{{($name)| str($name)}}
    return $holder1
---
...
def $verb_$name(${thing}s, $thing2):
    $holder1 = {{set()|""}}
    $name = $thing2{{|.$name2}}
    for i, $thing in enumerate(${thing}s):
        if $thing.$name3 > $name:
            $holder1{{answer}}{{($thing.$name)| $thing.$name}}
---
...
class $class:
    def $verb(self, ${thing}s):
        $holder1 = {{set()|""}}
        {{if|if not}} self.$flag:
            return None
        for $thing in ${thing}s:
            ...
            $holder1{{answer}}{{($thing)| $thing}}
---
def $verb_${thing}s($name, ${thing}s{{|=None}}):
    $holder1 = {{set()|""}}
    $holder2 = [$number, $number2]
    for i in range(len(${thing}s)):
        print($holder2)
        $holder1{{answer}}{{(${thing}s[i])| ${thing}s[i]}}
---
...
def $verb(${thing}s, $name):
    $holder1 = {{set()|""}}
    $flag2 = {{$flag|not $flag}}
    for $thing in ${thing}s:
        if $thing > $name:
            $holder1{{answer}}{{($thing)| str($thing)}}
---
${thing}s = [$quote$text$quote, $quote$text2$quote]
$holder1 = {{set()|""}}
$name = $thing2{{|.$name2}}
for $thing in ${thing}s:
    ...
    $holder1{{answer}}{{($thing)| $thing}}
""",
)
