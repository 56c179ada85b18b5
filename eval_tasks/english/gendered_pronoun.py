"""Gendered pronoun: the pronoun that matches a person's name.

From Mathwin et al. 2023, *Identifying a preliminary circuit for predicting gendered pronouns in GPT-2 small*.
"""

from __future__ import annotations

from eval_tasks.base import PairTask

TASK = PairTask(
    description="` he` or ` she`: the pronoun that matches the person's name",
    answers=(" he", " she"),
    single=(" $male", " $female"),
    words="""
[male]
John James Robert Michael William Richard Joseph Charles Thomas Daniel Matthew Anthony Steven Paul Andrew Kevin Brian
George Edward Jason
[female]
Mary Jane Laura Sarah Kate Lisa Jennifer Rachel Amy Michelle Melissa Elizabeth Rebecca Nicole Emily Jessica Susan Karen
Helen Julia
[role everywhere]
cook teacher doctor friend neighbour singer dancer writer
""",
    templates="""
So {{$male|$female}} is a really great $role, isn't{{answer}}?
---
So {{$male|$female}} was such a good $role, wasn't{{answer}}?
---
Then {{$male|$female}} became a famous $role, didn't{{answer}}?
""",
)
