"""End the parameter list of a `def`, or give the last parameter a default if earlier ones have defaults."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`=None` or `):` + newline: whether earlier parameters of this def already have defaults",
    answers=("=None", "):\n"),
    max_differing=2,
    single=("_$name2", "_$name5"),
    templates="""
...
def $verb_${thing}s(${thing}s, $name{{=None|_$name2}}, $name3{{answer}}{{):|}}
    return ${thing}s
---
...
def $verb_$name($flag, $name{{=None|_$name2}}, $name3{{answer}}{{):|}}
    print($name3)
---
...
class $class:
    def __init__(self, $flag, $name4, $name5, $name{{=None|_$name2}}, $name3{{answer}}{{):|}}
        self.$name3 = $name3
---
class $class:
    def __init__(self, $name):
        self.$name = $name

    def $verb(self, $thing, $name4{{=None|_$name2}}, $name3{{answer}}{{):|}}
        return self.$name
---
...
def $verb_$thing($name{{=None|_$name2}}, $name4{{=None|_$name5}}, $name3{{answer}}{{):|}}
    return $name3
---
def $verb_$thing($thing, $name=None):
    ...
    return $thing


def $verb2_${thing}s(${thing}s, $name4{{=None|_$name2}}, $name3{{answer}}{{):|}}
    return len(${thing}s)
---
def $verb_$thing($name, $flag):
    ...
    return $flag


def $verb2_$name($flag{{=None|_$name2}}, $name4{{=None|_$name5}}, $name3{{answer}}{{):|}}
    return $name3
---
...
def $verb($holder, $flag{{=None|_$name2}}, $name3{{answer}}{{):|}}
    return $holder
""",
)
