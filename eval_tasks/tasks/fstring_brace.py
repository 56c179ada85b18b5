"""Open a brace after a label in an f-string, but not in a plain string.

If the tokenizer joins the quote and the label (`"Total`), the two beginnings `(f` `"Total` and `("` `Total` have the
same length. If it doesn't, the f-string is one token longer; some templates compensate by putting the plain string one
block deeper. A tokenizer can use one half of the templates or the other.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description='` {` or anything else: `print(f"` or `print("`',
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
