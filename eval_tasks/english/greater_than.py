"""Greater-than: a period ends in a later year than it began (Hanna et al. 2023, arXiv 2305.00586).

A prompt names the year in which the period began, such as 1732, and ends with `17`. The next token is the last two
digits of the year in which it ended: larger digits than 32 are right, and smaller ones are wrong. The digits are words
of five sections: those of `before` are the smallest, then come `start`, `between`, `late` and `after`. In the left
prompt the period begins in `start`, so `between` is right and `before` is wrong. In the right prompt it begins in
`late`, so `after` is right and `between` is wrong. The paper sums the probabilities of all right years and of all wrong
years. Here a pair compares one right year with one wrong year, and many pairs together cover all of them.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="the last two digits of the year in which an event ended: larger than those of the year it began",
    answers=("$between", "$after"),
    alternatives=("$before", "$between"),
    words="""
[event]
war siege famine journey conflict expedition rebellion reign campaign dispute alliance mission
[before everywhere]
02 03 04 05 06 07 08 09 11 13 14 15 16 17 18 19
[start everywhere]
21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38
[between everywhere]
41 42 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58
[late everywhere]
61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78
[after everywhere]
81 82 83 84 85 86 87 88 89 90 91 92 93 94 95 96 97 98
""",
    templates="""
The $event lasted from the year 17{{$start|$late}} to the year 17{{answer}}.
---
The $event began in the year 17{{$start|$late}} and ended in the year 17{{answer}}.
""",
)
