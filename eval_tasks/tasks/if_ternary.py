"""End the line after the condition of an `if` statement, not after that of `a if c else b`."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` + newline or anything else, after the condition: `if c` statement or `a if c else b`",
    answers=(":\n", None),
    max_differing=3,
    single=(".$name3",),
    templates="""
...
def $verb_$name($name, $name2):
    ...
    $holder = {{$name
   |'$text'}} if $name > $name2{{answer}}{{| else '$text2'}}
        print($holder)
---
...
def $verb_$name($flag, $name):
    $name2 = {{$name
   |"$text"}} if not $flag{{answer}}{{| else "$text2"}}
        return $name2
---
...
$name = {{$name2
if|$number if}} $name3 == $number3{{answer}}{{| else $number2}}
    print($name)
---
class $class:
    def $verb(self, $name):
        ...
        $name2 = {{$name
       |'$text'}} if self.$name > $number{{answer}}{{| else '$text2'}}
            return $name2
---
for $thing in ${thing}s:
    $name = {{$name2
   |"$text"}} if $thing is None{{answer}}{{| else "$text2"}}
        print($name)
---
...
$name = {{$name2
if|$thing.$name3 if}} $name2 > $number{{answer}}{{| else $name2}}
    print($name)
---
def $verb_$name(${thing}s):
    for i, $thing in enumerate(${thing}s):
        $name = {{i
       |'$text'}} if i % 2 == 0{{answer}}{{| else '$text2'}}
            print($thing)
---
...
$name = {{$name2
if|$number if}} $flag == True{{answer}}{{| else $name3}}
    $name2 = $number2
""",
)
