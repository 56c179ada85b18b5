"""Find circuits of components (attention heads and MLPs), score them and write them to a results folder."""

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
    """Yield a row for each circuit that the method finds, model by model and task by task.

    settings: the method's own settings, an instance of its `Settings`; None: the defaults. out: results folder; None:
    write nothing. Rows are appended to out/results.jsonl and circuits are written to out/circuits; rows that are
    already there are not computed again. A task that is unavailable, or whose prompts are too long for the model, gets
    a row that says so. `UserError` if a model, task or setting cannot be used.
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
