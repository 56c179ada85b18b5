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
from sparsegpt2.model.checkpoint import (
    WEIGHTS,
    load_into,
    model_directory,
    read_tensors,
    unshared,
    write_model,
)
from sparsegpt2.model.gpt import GPT

PROGRESS, MOMENTS = "progress.json", "optimizer.safetensors"


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
    """Write model, moments and progress as one directory, in one step."""
    with replacing_directory(directory) as temporary:
        write_model(model, temporary, tokenizer=tokenizer, info=info)
        save_file(_moments(model, optimizer), temporary / MOMENTS)
        write_json(temporary / PROGRESS, asdict(progress))


def load_state(directory: Path, model: GPT, optimizer: torch.optim.AdamW) -> Progress:
    """Put the saved weights and moments into `model` and `optimizer`; return where the run stands."""
    directory = model_directory(directory)
    values = read_json(directory / PROGRESS, "training progress")
    if set(values) != {field.name for field in fields(Progress)}:
        raise UserError(f"{directory / PROGRESS} does not hold the progress of a run; delete the run to start it anew")
    progress = Progress(**values)
    load_into(unshared(model), read_tensors(directory / WEIGHTS), str(directory / WEIGHTS))
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        optimizer.state[parameter] = {
            "step": torch.tensor(float(progress.step)),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        if parameter.is_cuda:
            optimizer.state[parameter]["step"] = optimizer.state[parameter]["step"].to(parameter.device)
    if progress.step:
        load_into(_moments(model, optimizer), read_tensors(directory / MOMENTS), str(directory / MOMENTS))
    return progress


def _moments(model: GPT, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """Adam's first and second moments by parameter name; empty before the first step."""
    moments = {}
    for name, parameter in unshared(model).items():
        state = optimizer.state.get(parameter)
        if state:
            moments[f"{name}.exp_avg"] = state["exp_avg"]
            moments[f"{name}.exp_avg_sq"] = state["exp_avg_sq"]
    return moments
