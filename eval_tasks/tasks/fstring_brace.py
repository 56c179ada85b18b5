"""Open a brace after a label in an f-string, but not in a plain string.

If the tokenizer can join the quote and the label into one token (`"Total`), the f-string starts with the tokens `(f`
`"Total` and the plain string with `("` `Total`, so both prompts are equally long. If it can't, the f-string is one
token longer. Half of the templates make up for that by indenting the plain string one level deeper. So each tokenizer
can use only half of the templates.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description='` {` or anything else after a label: whether the string with the label began with `f"` or with `"`',
    answers=(" {", None),
    max_differing=3,
    templates="""
...
for $thing in ${thing}s:
    $name += $thing
{{print(f|    print(}}"$label:{{answer}}{{$name}")| not found")}}
---
...
if $name > $number:
    $name = $number
{{print(f|    print(}}'$label:{{answer}}{{$name}')| not found')}}
---
$name = $number
while $name < $number2:
    $name += 1
{{print(f|    print(}}"$label:{{answer}}{{$name}")| try again")}}
---
...
for i in range($number):
    ${thing}s.append(i)
{{print(f|    print(}}"$label:{{answer}}{{len(${thing}s)}")| try again")}}
---
with open("$source.txt") as f:
    $name = f.read()
{{print(f|    print(}}'$label:{{answer}}{{$name}')| file is empty')}}
---
...
if $flag:
    print("$text")
else:
    $name = $number
{{print(f|    print(}}"$label:{{answer}}{{$name}")| not found")}}
---
...
def $verb_$name($name):
    print({{f|}}"$label:{{answer}}{{$name}")| not found")}}
---
...
def $verb_${thing}s(${thing}s):
    for $thing in ${thing}s:
        ...
        print({{f|}}'$label:{{answer}}{{$thing}')| try again')}}
---
class $class:
    def $verb(self, $name):
        self.$name = $name
        print({{f|}}"$label:{{answer}}{{$name}")| no data left")}}
---
...
if not ${thing}s:
    $flag = False
    print({{f|}}'$label:{{answer}}{{$flag}')| no data left')}}
---
${thing}s = [$number, $number2]
for $thing in ${thing}s:
    $name = $thing * $number
print({{f|}}"$label:{{answer}}{{$name}")| file is empty")}}
---
with open("$source.txt") as f:
    $name = f.read()
    print({{f|}}'$label:{{answer}}{{$name}')| file is empty')}}
""",
)
