"""Indirect object identification: one of two people acts, and the other is the receiver.

From Wang et al. 2022 (arXiv 2211.00593).

The two prompts of a pair differ in who acts. There are templates for both orders of the names, which the paper calls
ABBA and BABA.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="the receiver: of the two people in the prompt, the one who is not named a second time",
    answers=(" $friend", " $friend2"),
    words="""
[friend]
John Mary James Robert Michael William Richard Joseph Charles Thomas Daniel Matthew Anthony Mark Steven Paul Andrew
Kevin Brian George Edward Jason Ryan Jacob Eric Scott Justin Brandon Benjamin Samuel Patrick Jack Jordan Aaron Adam
Nathan Kyle Jeremy Christian Austin Sean Jane Laura Sarah Kate Lisa Jennifer Rachel Amy Michelle
[place everywhere]
store school office garden station restaurant hospital house
[gift everywhere]
drink ring basketball computer kiss bone snack necklace
""",
    templates="""
Then, $friend and $friend2 went to the $place. {{$friend2|$friend}} gave a $gift to{{answer}}.
---
Then, $friend2 and $friend went to the $place. {{$friend2|$friend}} gave a $gift to{{answer}}.
---
When $friend and $friend2 got a $gift at the $place, {{$friend2|$friend}} decided to give it to{{answer}}.
---
When $friend2 and $friend got a $gift at the $place, {{$friend2|$friend}} decided to give it to{{answer}}.
---
After $friend and $friend2 had a long argument at the $place, {{$friend2|$friend}} said sorry to{{answer}}.
---
After $friend2 and $friend had a long argument at the $place, {{$friend2|$friend}} said sorry to{{answer}}.
---
While $friend and $friend2 were working at the $place, {{$friend2|$friend}} handed a $gift to{{answer}}.
---
While $friend2 and $friend were working at the $place, {{$friend2|$friend}} handed a $gift to{{answer}}.
""",
)
