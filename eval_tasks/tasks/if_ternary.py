"""End the line after the condition of an `if` statement, but not after the condition in `a if c else b`."""

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
   |'$text'}} if $name > $name2{{answer}}{{        print($holder)| else '$text2'}}
---
...
def $verb_$name($flag, $name):
    $name2 = {{$name
   |"$text"}} if not $flag{{answer}}{{        return $name2| else "$text2"}}
---
...
$name = {{$name2
if|$number if}} $name3 == $number3{{answer}}{{    print($name)| else $number2}}
---
class $class:
    def $verb(self, $name):
        ...
        $name2 = {{$name
       |'$text'}} if self.$name > $number{{answer}}{{            return $name2| else '$text2'}}
---
for $thing in ${thing}s:
    $name = {{$name2
   |"$text"}} if $thing is None{{answer}}{{        print($name)| else "$text2"}}
---
...
$name = {{$name2
if|$thing.$name3 if}} $name2 > $number{{answer}}{{    print($name)| else $name2}}
---
def $verb_$name(${thing}s):
    for i, $thing in enumerate(${thing}s):
        $name = {{i
       |'$text'}} if i % 2 == 0{{answer}}{{            print($thing)| else '$text2'}}
---
...
$name = {{$name2
if|$number if}} $flag == True{{answer}}{{    $name2 = $number2| else $name3}}
""",
)
