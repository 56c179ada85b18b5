"""Circuits of components, by any method, scored and put into results.jsonl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval_tasks.bench.component_cells import ComponentCell
from eval_tasks.bench.runner import Runner
from eval_tasks.bench.subjects import pose_for_each, read_subjects
from sparsegpt2.components import DiscoverConfig, get_method
from sparsegpt2.lock import locked
from sparsegpt2.progress import Progress
from sparsegpt2.results import Row


def discover_rows(
    models: Sequence[str | Path],
    tasks: Sequence[str],
    config: DiscoverConfig,
    settings: Any = None,
    *,
    out: str | Path | None = None,
    test_pairs: int = 128,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Iterator[Row]:
    """A row for each circuit of each model and task, as soon as its run is done; with `out` also files.

    out/results.jsonl gets the rows, out/circuits the circuits. What is there already is not made again. `UserError` for
    a model, task or setting that cannot be used; a task that the tokenizer cannot pose or the prompts of which the
    model cannot read is a row that says so. settings: the method's own; its defaults without.
    """
    method = get_method(config.method)
    config = replace(config, method=method.name)
    own = method.settings() if settings is None else settings
    subjects = read_subjects(models, device)
    cells = [
        ComponentCell(subject, posed, config, own, test_pairs)
        for subject, of_subject in pose_for_each(subjects, tasks)
        for posed in of_subject
    ]
    with nullcontext() if out is None else locked(out, "results folder"):
        runner = Runner(cells, device, out)
        for cell in cells:
            yield from runner.rows(cell, progress)
