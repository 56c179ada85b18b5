"""A substitute for pretraining text if none is available: the task's train prompts, joined together.

The prompts are less varied than the text that the model was trained on, so a report says whether the prompts or that
text were used.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsegpt2.circuits.losses import task_batch
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT

STAND_IN = "train prompts of the task, as no pretraining text was given"


def prompt_text(model: GPT, task: Task, rows: int) -> Tensor:
    """Join train prompts and their answers, and cut them into `rows` windows as long as the model's context.

    Returns int64 [rows, context].
    """
    length = model.config.context
    stream: list[int] = []
    seed, pairs = 0, 64
    while len(stream) < rows * length:
        batch = task_batch(model, task, "train", pairs, seed)
        for tokens, position, answer in zip(batch.tokens, batch.position, batch.answer, strict=True):
            stream += tokens[: int(position) + 1].tolist() + [int(answer)] * (int(answer) >= 0)
        seed += 1
    return torch.tensor(stream[: rows * length]).view(rows, length)
