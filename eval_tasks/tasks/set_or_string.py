"""Grow a variable the way it began: a set or a string.

The string takes one token less than `set()`, so where only one of them is shown another word makes up for it.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description='`.add` or ` +=` after a variable: whether it was set to `set()` or to `""`',
    answers=(".add", " +="),
    max_differing=5,
    single=(" $holder1", " $holder2"),
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
def $verb_${thing}s(${thing}s, $name):
    {{$holder1|$holder2}} = set()
    {{$holder2|$holder1}} = ""
    for $thing in ${thing}s:
        $holder1{{answer}}{{($thing)| $thing}}
---
def $verb_$name($flag, $name):
    $holder1 = {{set()|""}}
    {{while|while not}} $flag:
        ...
        $holder1{{answer}}{{($name)| str($name)}}
    return $holder1
---
def $verb_$name(${thing}s):
    $name = $number
    {{$holder1|$holder2}} = set()
    {{$holder2|$holder1}} = ""
    for i, $thing in enumerate(${thing}s):
        if $thing.$name:
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
...
def $verb_${thing}s(${thing}s):
    {{$holder2|$holder1}} = ""
    {{$holder1|$holder2}} = set()
    for i in range(len(${thing}s)):
        ...
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
def $verb_$name(${thing}s):
    {{$holder2|$holder1}} = ""
    ...
    {{$holder1|$holder2}} = set()
    while ${thing}s:
        $thing = ${thing}s.pop()
        $holder1{{answer}}{{($thing)| $thing}}
""",
)
