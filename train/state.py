"""A run's `last` folder: a model like any other, beside it what is needed to go on exactly."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json, replacing_directory, write_json
from sparsegpt2.locate import model_directory
from sparsegpt2.model.checkpoint import (
    WEIGHTS,
    load_into,
    read_tensors,
    unshared,
    write_model,
)
from sparsegpt2.model.gpt import GPT
from sparsegpt2.sparsity.memory import REMEMBERED

PROGRESS, STATES = "progress.json", "optimizer.safetensors"
KEPT = ("exp_avg", "exp_avg_sq", REMEMBERED)
"""What the optimiser knows of a parameter: Adam's moments, and dropped weights where they are remembered."""


@dataclass
class Progress:
    """Where a run stands. Everything else follows from the config: data order is a function of seed and step."""

    step: int = 0
    best_loss: float | None = None
    """Lowest held-out loss (nats per token) at the target density so far."""
    running_loss: float = 0.0
    """Sum of the losses since the last line of metrics."""
    running_rms: float = 0.0
    """Sum of the gradient RMS since then."""
    running_steps: int = 0
    seconds: float = 0.0
    """Wall-clock seconds of training so far, interruptions not counted."""
    finished: bool = False


def save_state(
    directory: Path, model: GPT, optimizer: torch.optim.AdamW, progress: Progress, tokenizer: Any, info: dict[str, Any]
) -> None:
    """Write model, optimiser state and progress as one directory, in one step."""
    with replacing_directory(directory) as temporary:
        write_model(model, temporary, tokenizer=tokenizer, info=info)
        save_file(_states(model, optimizer), temporary / STATES)
        write_json(temporary / PROGRESS, asdict(progress))


def load_state(directory: Path, model: GPT, optimizer: torch.optim.AdamW) -> Progress:
    """Put the saved weights and optimiser state into `model` and `optimizer`; return where the run stands."""
    directory = model_directory(directory)
    values = read_json(directory / PROGRESS, "training progress")
    if set(values) != {field.name for field in fields(Progress)}:
        raise UserError(f"{directory / PROGRESS} does not hold the progress of a run; delete the run to start it anew")
    progress = Progress(**values)
    load_into(unshared(model), read_tensors(directory / WEIGHTS), str(directory / WEIGHTS))
    saved = read_tensors(directory / STATES) if progress.step else {}
    for name, parameter in model.named_parameters():
        step = torch.tensor(float(progress.step), device=parameter.device)
        kept = [key for key in KEPT if key != REMEMBERED or f"{name}.{key}" in saved]
        optimizer.state[parameter] = {"step": step} | {key: torch.zeros_like(parameter) for key in kept}
    if progress.step:
        load_into(_states(model, optimizer), saved, str(directory / STATES))
    return progress


def _states(model: GPT, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """What `KEPT` names of every parameter, as `NAME.KEY`; empty before the first step."""
    return {
        f"{name}.{key}": state[key]
        for name, parameter in model.named_parameters()
        for state in [optimizer.state.get(parameter, {})]
        for key in KEPT
        if key in state
    }
