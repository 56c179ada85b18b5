"""The task `set_or_string`, but with a variable that is always called `current`."""

from __future__ import annotations

from dataclasses import replace

from eval_tasks.tasks.set_or_string import TASK as VARIED

TASK = replace(
    VARIED,
    description='`.add` or ` +=` after `current`: whether it was set to `set()` or to `""`',
    templates=VARIED.templates.replace("$holder1", "current"),
)
