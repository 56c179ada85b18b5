"""Open a file for reading or writing, depending on its name.

A model has to learn separately for each word whether a file of that name is read or written. So every split uses all
words. If each split had only two words, it would be a matter of chance whether a circuit worked for the words of
another split.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`r` or `w`: whether the file's name suggests input or output",
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
