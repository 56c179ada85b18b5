"""Seconds from a model and a task to a circuit, with our code and with the plain code of `plain_prune.py`.

Each task is pruned in three ways, one after the other, with the same settings: `ours`, `plain`, and `published`, which
is plain with the published 64 pairs per step. Needs trained models (`--models`), by default those of the quickstart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.measure import Bench, seconds_once, table
from benchmarks.plain_prune import PlainCurve, plain_rank
from eval_tasks.registry import get_task
from sparsegpt2 import load_model
from sparsegpt2.circuits import Circuit, LossCurve, PruneConfig, Task, circuit_at, rank_nodes, unpruned_loss
from sparsegpt2.circuits.pruners.node import rank_together
from sparsegpt2.locate import CHECKPOINTS, model_directory
from sparsegpt2.model.gpt import GPT
from sparsegpt2.results import ratio_mean
from sparsegpt2.text.tokenizer import Tokenizer

TASKS = ("var_if", "fstring_brace")


def ours(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The circuit by our code."""
    return circuit_at(LossCurve(model, task, rank_nodes(model, task, config), config), config.target_loss)


def plain(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The circuit by the plain code."""
    return circuit_at(PlainCurve(model, task, plain_rank(model, task, config), config), config.target_loss)


def published(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The circuit by the plain code with the published number of pairs per step."""
    return plain(model, task, replace(config, pairs=64))


WAYS: dict[str, Callable[[GPT, Task, PruneConfig], Circuit]] = {"ours": ours, "plain": plain, "published": published}


def run(bench: Bench) -> list[dict[str, Any]]:
    """A row for each model and task with seconds and edges of every way. Prints the means of their ratios to ours."""
    rows = [row for path in bench.models for row in model_rows(path, bench)]
    if not rows:
        print("no trained models; give some with --models, or run `make quickstart` first")
        return []
    print(table(list(rows[0]), [list(row.values()) for row in rows]))
    for way in list(WAYS)[1:]:
        slower = ratio_mean(row[f"{way} s"] / row["ours s"] for row in rows)
        larger = ratio_mean(row[f"{way} edges"] / row["ours edges"] for row in rows)
        print(f"{way}: {slower:.1f} times the seconds, {larger:.2f} times the edges, geometric means of {len(rows)}")
    return rows


def model_rows(path: str, bench: Bench) -> list[dict[str, Any]]:
    """The rows of one model, for tasks that it has. Also prints the time for all their gates, alone and in a batch."""
    directory, config = model_directory(path), PruneConfig()
    name = directory.parent.name if directory.name in CHECKPOINTS else directory.name
    model, tokenizer = load_model(directory, bench.device), Tokenizer.load(directory)
    tasks = [get_task(name, tokenizer) for name in TASKS]
    tasks = [task for task in tasks if unpruned_loss(model, task, split="validation") < config.target_loss]
    tasks = tasks[:1] if bench.quick else tasks
    if not tasks:
        return []
    rank_nodes(model, tasks[0], replace(config, steps=2))  # compiles kernels, which happens at first use
    rows = []
    for task in tasks:
        row: dict[str, Any] = {"model": name, "task": task.name}
        for kind, way in WAYS.items():
            seconds, circuit = timed(lambda way=way, task=task: way(model, task, config), bench)  # type: ignore[misc]
            row |= {f"{kind} s": seconds, f"{kind} edges": circuit.edges(model)}
        rows.append(row)
    alone, _ = timed(lambda: [rank_nodes(model, task, config) for task in tasks], bench)
    together, _ = timed(lambda: rank_together(model, tasks, [config] * len(tasks)), bench)
    print(f"{name}: gates of {len(tasks)} tasks {alone:.1f} s one by one, {together:.1f} s in a batch")
    return rows


def timed(function: Callable[[], Any], bench: Bench) -> tuple[float, Any]:
    """(seconds of one call by `seconds_once`, its result)."""
    found: list[Any] = []
    seconds = seconds_once(lambda: found.append(function()), bench.device)
    return seconds, found[0]
