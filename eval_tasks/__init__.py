"""Tasks that ask a language model for one of two next tokens, and the benchmark over them."""

from eval_tasks.registry import available, describe, get_task, task_names

__all__ = ["available", "describe", "get_task", "task_names"]
