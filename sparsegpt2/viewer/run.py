"""Gather what a page shows of a run folder: training curves, and the frontier with the circuits of each model.

The frontier is the figure of models' held-out loss against the size of their circuits (sparsegpt2/report/frontier.py).
"""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.circuits.circuit import is_circuit
from sparsegpt2.errors import UserError
from sparsegpt2.locate import CHECKPOINTS
from sparsegpt2.report.frontier import Frontier, analyse
from sparsegpt2.report.training import METRICS, read_metrics
from sparsegpt2.results import RESULTS, ModelResult, Row, has_rows, load_results
from sparsegpt2.viewer.graph import short
from sparsegpt2.viewer.schema import CellData, ModelData, Points, RunData

MEASURES = ("loss", "held_out_loss", "density", "l0", "dead_mlp_neurons", "dead_attention_channels")
"""Measures in the training log that are drawn against training steps."""


def is_run(path: str | Path) -> bool:
    """Whether `path` is a folder that has results, training metrics, or run folders directly inside it."""
    folder = Path(path)
    return folder.is_dir() and (has_rows(folder) or bool(training_runs(folder)))


def training_runs(folder: Path) -> list[Path]:
    """The training runs among `folder` itself and the folders directly inside it."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    return [path for path in candidates if (path / METRICS).is_file()]


def run_results(folder: str | Path) -> list[Row]:
    """The rows of results in a run folder, without outdated ones; empty if it has no results."""
    return load_results([folder]) if has_rows(folder) else []


def circuit_files(folder: str | Path, rows: list[Row]) -> list[Path]:
    """The circuit files of a run that exist, most important first.

    There are three groups. The first has the circuits that count in the comparison of models, for tasks that all models
    share. The second has the circuits that count for other tasks. In both, smaller circuits come first. The third has
    the circuits that `sparsegpt2 prune` wrote into the run, sorted by name.
    """
    folder, found = Path(folder), analyse(rows) if rows else None
    if found is None:
        return pruned_files(folder)
    counted = [row for model in found.models for result in model.tasks.values() for row in result.rows if row.counts]
    counted.sort(key=lambda row: (row.task not in found.shared, row.edges or 0))
    files = [folder / row.circuit for row in counted if row.circuit]
    return [*(file for file in files if file.is_file()), *pruned_files(folder)]


def pruned_files(run: Path) -> list[Path]:
    """Circuit files in the folder `circuits` of the run and, where earlier versions put them, in its checkpoint
    folders."""
    found: dict[str, Path] = {}
    for place in (run, *(run / checkpoint for checkpoint in CHECKPOINTS)):
        for file in sorted((place / "circuits").glob("*.json")):
            if is_circuit(file):
                found.setdefault(file.name, file)
    return list(found.values())


def run_data(folder: str | Path, rows: list[Row], in_page: dict[str, int], not_shown: str = "") -> RunData:
    """What the page shows of a run; `UserError` if `folder` is not a run.

    in_page: circuit file -> index in the page's list of circuits. not_shown: a sentence about circuits that are not on
    the page; empty if all are.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise UserError(f"{folder} has neither {METRICS} nor {RESULTS}; give a run, a results folder or a circuit file")
    found = analyse(rows) if rows else None
    return {
        "name": folder.resolve().name,
        "training": {path.resolve().name: _measures(path) for path in training_runs(folder)},
        "models": [_model(folder, model, found, in_page) for model in found.models] if found else [],
        "shared": found.shared if found else [],
        "pruner": found.pruner if found else "",
        "target": found.target_loss if found else None,
        "curves": [
            {
                "name": curve.name,
                "line": [[short(edges), short(loss)] for edges, loss in curve.line],
                "marks": [[short(size.value), short(loss)] for size, loss in curve.marks],
            }
            for curve in (found.curves if found else [])
        ],
        "not_shown": not_shown,
    }


def _measures(run: Path) -> dict[str, Points]:
    steps = read_metrics(run)
    return {
        name: [[step["step"], short(step[name])] for step in steps if step.get(name) is not None] for name in MEASURES
    }


def _model(folder: Path, model: ModelResult, found: Frontier, in_page: dict[str, int]) -> ModelData:
    point = next((point for point in found.points if point.name == model.name), None)
    return {
        "name": model.name,
        "dense": model.is_dense,
        "d_model": model.row.d_model,
        "l0": model.row.l0,
        "held_out_loss": model.row.held_out_loss,
        "had": len(model.had),
        "shared_edges": short(point.size.value) if point else None,
        "cells": [_cell(folder, task, model, in_page) for task in sorted(model.tasks)],
    }


def _cell(folder: Path, task: str, model: ModelResult, in_page: dict[str, int]) -> CellData:
    result = model.tasks[task]
    files = [str(folder / row.circuit) for row in result.rows if row.circuit]
    edges = result.edges()
    return {
        "task": task,
        "status": result.status,
        "counts": result.counts,
        "edges": None if edges is None else short(edges),
        "loss": None if result.loss is None else short(result.loss),
        "loss_full": None if result.loss_full is None else short(result.loss_full),
        "files": files,
        "circuits": [in_page[file] for file in files if file in in_page],
    }
