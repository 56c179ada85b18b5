"""Open a file to read or to write, as its name tells.

Which names are read and which written is learned word by word, so every split asks for all of them: with two names of
a split's own, whether a circuit serves them is chance.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`r` or `w`: the file's name (input-like or output-like)",
    answers=("r", "w"),
    single=("$source", "$target"),
    everywhere=("source", "target"),
    templates="""
...
$name = $number
with open("{{$source|$target}}.txt", "{{answer}}") as f:
    print($name)
---
...
def $verb_$name():
    with open('{{$source|$target}}.txt', '{{answer}}') as f:
        print(f)
---
...
print($name)
f = open("{{$source|$target}}.csv", "{{answer}}")
---
def $verb_${thing}s(${thing}s):
    ...
    file = open('{{$source|$target}}.json', '{{answer}}')
    return ${thing}s
---
...
class $class:
    def $verb(self):
        with open("{{$source|$target}}.csv", "{{answer}}") as file:
            self.$name = $number
---
${thing}s = [$number, $number2]
for $thing in ${thing}s:
    print($thing)
with open("{{$source|$target}}.json", "{{answer}}") as f:
    print(${thing}s)
---
if $flag:
    print('$text')
    with open('{{$source|$target}}.csv', '{{answer}}') as f:
        $name = 0
---
def $verb_$name($name):
    $name2 = $name + $number
    f = open("{{$source|$target}}.txt", "{{answer}}")
    return $name2
""",
)
