"""Close a list on one line with as many brackets as are open.

The variables that hold these lists have neutral names such as `seen`, because in ordinary code `books` would be a list
of books and not a list of lists.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`]` or `]]`, each + newline: nesting depth 1 or 2",
    answers=("]\n", "]]\n"),
    templates="""
...
$name = {{[|[[}}$number, $number2{{answer}}
---
...
def $verb_$name($name):
    $holder = {{[|[[}}$number, $number2, $number3{{answer}}
---
...
$name = [[$number, $number2{{],|,}} $number3{{answer}}
---
if $flag:
    $holder = {{[|[[}}$number, $number2{{answer}}
---
${thing}s = [$number, $number2]
for $thing in ${thing}s:
    $name = {{[|[[}}$thing, $number3, $number4{{answer}}
---
def $verb_$name($name, $name2):
    ...
    $holder = {{[|[[}}$name, $number{{answer}}
---
...
class $class:
    def $verb(self):
        self.$name = {{[|[[}}$number, $number2, $number3, $number4{{answer}}
---
...
$holder = [[$number, $number2], {{|[}}$number3, $number4{{answer}}
""",
)
