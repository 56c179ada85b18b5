"""Loop over `enumerate` with two variables, or over `range` with one.

The second variable takes two tokens (`, x`). To keep the prompts equally long, the prompt with `range` has two more
tokens in an earlier line.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` enumerate` or ` range`: `for i, x in` or `for i in`",
    answers=(" enumerate", " range"),
    max_differing=9,
    templates="""
...
def $verb_${thing}s(${thing}s{{|, $name}}):
    for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
...
def $verb_${thing}s(${thing}s, $flag):
    ...
    print($flag{{|, $name}})
    for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
${thing}s = [$number, $number2]
print(${thing}s{{|, $name}})
for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
...
def $verb_$name(${thing}s):
    $name = $name2{{| + $name3}}
    for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
class $class:
    def $verb(self, ${thing}s{{|, $name}}):
        for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
...
if $flag{{| == $flag2}}:
    for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
...
$name = $name2{{| * $name3}}
for index{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
---
while $name{{| > $name2}}:
    for i{{, $thing|}} in{{answer}}{{(${thing}s):|($name):}}
""",
)
