"""What a benchmark works on: models that are read from disk, and tasks posed with the models' tokenizers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.base import PosedTask, Unposable
from eval_tasks.registry import TASKS, get_task, task_names
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.config import require
from sparsegpt2.errors import UserError
from sparsegpt2.locate import is_published, model_directory
from sparsegpt2.model.checkpoint import load_model, model_fingerprint, model_info
from sparsegpt2.results import provenance
from sparsegpt2.sparsity.project import projected_parameters
from sparsegpt2.sparsity.stats import l0
from sparsegpt2.text.tokenizer import Tokenizer

FINGERPRINT_PAIRS = 32
"""Number of pairs of each split that a task's fingerprint is computed from."""


@dataclass(frozen=True)
class Subject:
    """A model to benchmark, without its weights."""

    name: str
    """The last part of its path, or as many last parts as make the name unique among the models (`short_names`)."""
    path: str
    """Path or address of the model, as given."""
    fingerprint: str
    """Hash of config, weights, node means and tokenizer."""
    tokenizer: Tokenizer
    about: dict[str, Any]
    """Fields of `Row` that are the same in all rows of this model. Some describe the model: held_out_loss, l0, density,
    d_model, n_layer, parameters, tokens and kurtosis. The others describe this run: version, commit, torch, device and
    machine."""

    @property
    def place(self) -> str:
        """What circuit files call the model: its name if it is published (`zoo:` or `hf:`), otherwise its folder."""
        return self.path if is_published(self.path) else str(model_directory(self.path))


@dataclass(frozen=True)
class Posed:
    """A task posed with a tokenizer, or the reason why it is unavailable."""

    name: str
    task: PosedTask | None
    reason: str
    """Why the task is unavailable; empty if it is available."""
    fingerprint: str
    """Hash of the task's first pairs; empty if the task is unavailable."""


def read_subjects(models: Sequence[str | Path], device: str) -> list[Subject]:
    """A `Subject` for each model. `UserError` for the first model that cannot be benchmarked.

    Every model is loaded once here, so that such an error occurs before the slow part begins.
    """
    require(bool(models), "give at least one model, such as a run written by `sparsegpt2 train`")
    return [_subject(name, path, device) for name, path in zip(short_names(models), models, strict=True)]


def short_names(paths: Sequence[str | Path]) -> list[str]:
    """A name for each path: its last part (without `best` or `last`), or as many last parts as make names unique."""
    parts = []
    for path in paths:
        place = Path(str(path).split(":", 1)[1]) if is_published(path) else Path(path)
        own = [part for part in place.parts if part not in ("/", ".", "..")] or [place.resolve().name]
        parts.append(own[:-1] if len(own) > 1 and own[-1] in ("best", "last") else own)
    for length in range(1, max(len(own) for own in parts) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    names = [str(path) for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    require(twice is None, f"the model {twice} is given twice")
    return names


def pose_tasks(tokenizer: Tokenizer, tasks: Sequence[str]) -> list[Posed]:
    """Each of `tasks` (names or files; by default all 20) posed with a tokenizer, or why it is unavailable.

    `UserError` if a task does not exist, if its file has a mistake, or if two tasks have the same name.
    """
    posed = [_pose(task, tokenizer) for task in tasks or task_names()]
    names = [one.name for one in posed]
    for name in names:
        require(names.count(name) == 1, f"two of the tasks are called {name!r}; rename the file of one of them")
    return posed


def pose_for_each(subjects: Sequence[Subject], tasks: Sequence[str]) -> Iterator[tuple[Subject, list[Posed]]]:
    """Each subject with its posed `tasks`. Subjects with the same tokenizer share the same `Posed` objects."""
    posed: dict[str, list[Posed]] = {}
    for subject in subjects:
        key = subject.tokenizer.fingerprint
        if key not in posed:
            posed[key] = pose_tasks(subject.tokenizer, tasks)
        yield subject, posed[key]


def _pose(task: str, tokenizer: Tokenizer) -> Posed:
    try:
        posed = get_task(task, tokenizer)
    except Unposable as error:
        return Posed(TASKS.resolve(task).name, None, error.reason, "")
    digest = hashlib.sha256()
    for split in SPLITS:
        batch = posed.batch(split, FINGERPRINT_PAIRS, 0)
        for column in (batch.tokens, batch.position, batch.answer, batch.alternative):
            digest.update(column.numpy().tobytes())
    posed.forget_pairs()
    return Posed(posed.name, posed, "", digest.hexdigest()[:16])


def _subject(name: str, path: str | Path, device: str) -> Subject:
    model = load_model(path, device)
    try:
        means_of(model)
    except UserError as error:
        raise UserError(f"{path} cannot be benchmarked: {error}") from None
    tokenizer = Tokenizer.load(path)
    info, weights = model_info(path), l0(model)
    parameters = sum(tensor.weight.numel() for tensor in projected_parameters(model))
    about = {
        "held_out_loss": info.get("held_out_loss"),
        "l0": weights,
        "density": info.get("density", weights / parameters),
        "d_model": model.config.d_model,
        "n_layer": model.config.n_layer,
        "parameters": parameters,
        "tokens": info.get("tokens"),
        "kurtosis": info.get("kurtosis"),
        **provenance(device),
    }
    return Subject(name, str(path), model_fingerprint(model, tokenizer), tokenizer, about)
