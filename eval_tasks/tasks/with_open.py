"""Open a file for reading or writing, depending on its name.

A model learns for each word whether such a file is read or written, so every split uses all words. If each split had
two words of its own, it would be chance whether a circuit worked for them.
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
