"""A run's folder `last`: a model like any other, and the optimiser state and progress from which the run resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from sparsegpt2.checksum import SEAL, check_files, check_seal, checksums, sealed
from sparsegpt2.errors import UserError
from sparsegpt2.files import Kind, read_json, read_settled, replacing_directory, settled, write_json
from sparsegpt2.locate import CONFIG, FILES, WEIGHTS
from sparsegpt2.model.checkpoint import (
    MODEL,
    require_finite,
    unshared,
    write_model,
)
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.tensors import load_into, read_tensors
from sparsegpt2.plain import check_record
from sparsegpt2.sparsity.memory import REMEMBERED

PROGRESS, STATES = "progress.json", "optimizer.safetensors"
KEPT = ("exp_avg", "exp_avg_sq", REMEMBERED)
"""What is saved of the optimiser for each parameter: Adam's moments and, if the run remembers dropped weights
(`SparsityConfig.memory`), their remembered values."""
LAST = Kind("a run's checkpoint", (*FILES, PROGRESS, STATES), MODEL.mark, MODEL.signs)
"""Folders that `save_state` may replace."""
BELONGS, LISTED = "belongs_to", "files"
"""Keys of progress.json. The first has the fingerprints of the run's data and tokenizer, the second the checksums of
other files in the folder."""


@dataclass
class Progress:
    """How far a run is. The position in the data is not saved, because a batch depends only on seed and step."""

    step: int = 0
    best_loss: float | None = None
    """Lowest held-out loss so far (nats per token), among models at the target density."""
    running_loss: float = 0.0
    """Sum of the losses since the last line of metrics."""
    running_rms: float = 0.0
    """Sum of the gradient RMS since the last line of metrics."""
    running_steps: int = 0
    """Steps since the last line of metrics."""
    seconds: float = 0.0
    """Wall-clock seconds of training so far, without interruptions."""
    finished: bool = False


def save_state(
    directory: Path,
    model: GPT,
    optimizer: torch.optim.AdamW,
    progress: Progress,
    tokenizer: Any,
    info: dict[str, Any],
    belongs_to: Mapping[str, str] | None = None,
) -> None:
    """Write model, optimiser state and progress as one directory, in one step.

    belongs_to: fingerprints of the run's `data` and `tokenizer`, by these names.
    """
    with replacing_directory(directory, LAST) as temporary:
        write_model(model, temporary, tokenizer=tokenizer, info=info)
        save_file(_states(model, optimizer), temporary / STATES)
        facts = {BELONGS: dict(belongs_to or {}), LISTED: checksums(temporary, [STATES])}
        write_json(temporary / PROGRESS, sealed({**asdict(progress), **facts}))


def saved_at(directory: Path) -> Path | None:
    """Where the checkpoint of a run is; None if there is none yet. directory: the run's folder `last`.

    The result differs from `directory` only if a writer died while it replaced that folder. `UserError` if the folder
    holds files but no progress.json, because training from the start would overwrite these files.
    """
    directory = settled(directory)
    if (directory / PROGRESS).exists():
        return directory
    if directory.exists() and any(directory.iterdir()):
        raise UserError(
            f"{directory} has lost its {PROGRESS}, so the run cannot resume from it; restore the file, "
            f"or delete {directory} to train from the start"
        )
    return None


def load_state(
    directory: Path, model: GPT, optimizer: torch.optim.AdamW, belongs_to: Mapping[str, str] | None = None
) -> Progress:
    """Load the saved weights and optimiser state into `model` and `optimizer`; return the run's progress.

    belongs_to: as given to `save_state`. `UserError` if the run was trained on other data or with another tokenizer.
    What a checkpoint of an earlier version does not record is not compared.
    """
    return read_settled(directory, lambda found: _load_state(found, model, optimizer, belongs_to or {}))


def _load_state(directory: Path, model: GPT, optimizer: torch.optim.AdamW, belongs_to: Mapping[str, str]) -> Progress:
    values = read_json(directory / PROGRESS, "training progress")
    names = {field.name for field in fields(Progress)}
    if not isinstance(values, dict) or not names <= set(values) <= names | {BELONGS, LISTED, SEAL}:
        raise UserError(f"{directory / PROGRESS} does not hold the progress of a run; delete the run to start again")
    check_seal(values, directory / PROGRESS)
    header = read_json(directory / CONFIG, "model config")
    check_seal(header, directory / CONFIG)
    _check_belongs(directory, values.pop(BELONGS, None) or _recorded(header), belongs_to)
    listed, _ = values.pop(LISTED, None), values.pop(SEAL, None)
    check_record(Progress, values, str(directory / PROGRESS))
    progress = Progress(**values)
    if progress.step < 0:
        raise UserError(f"{directory / PROGRESS} has the step {progress.step}; delete the run to start again")
    load_into(unshared(model), read_tensors(directory / WEIGHTS), str(directory / WEIGHTS))
    require_finite(unshared(model), str(directory / WEIGHTS))
    saved = read_tensors(directory / STATES) if progress.step else {}
    for name, parameter in model.named_parameters():
        step = torch.tensor(float(progress.step), device=parameter.device)
        kept = [key for key in KEPT if key != REMEMBERED or f"{name}.{key}" in saved]
        optimizer.state[parameter] = {"step": step} | {key: torch.zeros_like(parameter) for key in kept}
    if progress.step:
        load_into(_states(model, optimizer), saved, str(directory / STATES))
    check_files(directory, listed, directory / PROGRESS)
    check_files(directory, header.get("files"), directory / CONFIG)
    return progress


def _recorded(header: Any) -> Any:
    """The `info` that config.json records, which includes the fingerprint of the tokenizer; None if there is no `info`.

    Checkpoints of earlier versions have that fingerprint only there.
    """
    return header.get("info") if isinstance(header, dict) else None


def _check_belongs(directory: Path, saved: Any, now: Mapping[str, str]) -> None:
    """`UserError` that names what has changed since the checkpoint was saved: `data` or `tokenizer`."""
    for name, fingerprint in now.items():
        then = saved.get(name) if isinstance(saved, dict) else None
        if then is not None and then != fingerprint:
            other = "another tokenizer" if name == "tokenizer" else f"other {name}"
            raise UserError(
                f"{directory} was trained with {other} (fingerprint {str(then)[:12]}, now {fingerprint[:12]}): "
                f"its corpora have changed since then; restore them, or begin a new run with another --out"
            )


def _states(model: GPT, optimizer: torch.optim.AdamW) -> dict[str, Tensor]:
    """The optimiser's tensors that `KEPT` names, as `PARAMETER.KEY`; empty before the first step."""
    return {
        f"{name}.{key}": state[key]
        for name, parameter in model.named_parameters()
        for state in [optimizer.state.get(parameter, {})]
        for key in KEPT
        if key in state
    }
