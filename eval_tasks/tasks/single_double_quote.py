"""Close a string with the quote that opened it.

In every template the line continues after the answer. At the end of a line, the line break would be part of the
answer's token.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`')` or `\")`: the quote that opened the string",
    answers=("')", '")'),
    templates="""
...
def $verb_$name($flag):
    ...
    print({{'|"}}$text{{answer}} if $flag else None
---
...
def $verb_${thing}s(${thing}s):
    if ${thing}s.count({{'|"}}$person{{answer}} > $number:
        return True
---
def $verb_$thing($thing, $name):
    ...
    $name2 = $thing.index({{'|"}}$text{{answer}} + $name
---
...
class $class:
    def $verb(self):
        print({{'|"}}$label{{answer}}  # $text
---
...
$name = input({{'|"}}$text $text2{{answer}} or $quote$text3$quote
---
...
for $thing in ${thing}s:
    print($thing)
    if $thing.startswith({{'|"}}$text{{answer}} and $name > $number:
---
def $verb_$name(${thing}s, $holder):
    $holder.append($quote$text$quote)
    $name = ${thing}s.get({{'|"}}$text2{{answer}} + $number
    return $name
---
...
while $flag:
    print({{'|"}}$label: $text{{answer}} if $name == $number else None
---
...
if $flag:
    $name = $thing.find({{'|"}}$text{{answer}} + $number
""",
)
