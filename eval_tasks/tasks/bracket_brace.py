"""Continue after a number inside a dict or a list that is written over several lines."""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="`:` or `,` after an element: inside a dict or a list (multi-line)",
    answers=(":", ","),
    max_differing=4,
    templates="""
...
$name = {{{|[}}
    $number{{answer}} $number2,
---
...
def $verb_${thing}s($name):
    ...
    ${thing}s = {{{|[}}
        $number{{answer}} $number2,
---
$name = $number
$holder = {{{|[}}
    $number2{{:|,}} $number3,
    $number4{{answer}} $number5,
---
class $class:
    def $verb(self):
        self.$name = {{{|[}}
            $number{{answer}} $number2,
---
...
$holder = {{{|[}}
    $number{{:|,}} $number2,
    $number3{{:|,}} $number4,
    $number5{{answer}} $number6,
---
if $flag:
    ${thing}s = [$number, $number2]
    $holder = {{{|[}}
        $number3{{answer}} $number4,
---
...
for $thing in ${thing}s:
    print($thing)
    $holder = {{{|[}}
        $number{{:|,}} $number2,
        $number3{{answer}} $number4,
---
$holder = {$quote$text$quote: $number}
${thing}s = {{{|[}}
    $number2{{answer}} $number3,
""",
)
