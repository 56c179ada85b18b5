"""Tasks, each a binary choice of the next token, and the benchmark over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from eval_tasks.registry import available, describe, get_task, task_names

__all__ = ["available", "describe", "get_task", "task_names"]

__getattr__ = lazily(__name__)
