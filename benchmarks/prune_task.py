"""Seconds from a model and a task to a circuit, ours beside the plain path of `plain_prune.py`, in one run.

    python -m benchmarks.prune_task MODEL... [--tasks single_double_quote var_if] [--published]

Each task is pruned by both paths, one after the other, with the same settings. --published: the plain path also with
the published batch of 64 pairs. Prints seconds, nodes and edges, and the geometric mean of the ratios of seconds.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from benchmarks.plain_prune import PlainCurve, plain_rank
from eval_tasks.registry import get_task
from sparsegpt2 import load_model
from sparsegpt2.circuits import Circuit, LossCurve, PruneConfig, Task, circuit_at, rank_nodes, unpruned_loss
from sparsegpt2.circuits.pruners.node import rank_together
from sparsegpt2.model.checkpoint import model_directory
from sparsegpt2.model.gpt import GPT
from sparsegpt2.tokenizer import Tokenizer

Prune = Callable[[GPT, Task, PruneConfig], Circuit]


def ours(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The library's path."""
    return circuit_at(LossCurve(model, task, rank_nodes(model, task, config), config), config.target_loss)


def plain(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The plain path, same settings."""
    return circuit_at(PlainCurve(model, task, plain_rank(model, task, config), config), config.target_loss)


def published(model: GPT, task: Task, config: PruneConfig) -> Circuit:
    """The plain path with the published number of pairs a step."""
    return plain(model, task, replace(config, pairs=64))


def timed(prune: Prune, model: GPT, task: Task, config: PruneConfig) -> tuple[float, Circuit]:
    """Wall-clock seconds of one call, and what it found."""
    started = time.perf_counter()
    circuit = prune(model, task, config)
    return time.perf_counter() - started, circuit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tasks", nargs="+", default=["single_double_quote", "var_if", "else_elif", "bracket_brace"])
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    paths = {"ours": ours, "plain": plain} | ({"published": published} if options.published else {})
    config, ratios = PruneConfig(), {name: [] for name in paths}  # type: dict[str, list[float]]
    print(f"{'model':<12}{'task':<24}" + "".join(f"{name + ': s':>13}{'nodes':>7}{'edges':>8}" for name in paths))
    for path in options.models:
        directory = model_directory(path)
        model, tokenizer = load_model(directory), Tokenizer.load(directory)
        tasks = [get_task(name, tokenizer) for name in options.tasks]
        tasks = [task for task in tasks if unpruned_loss(model, task, split="validation") < config.target_loss]
        timed(ours, model, tasks[0], replace(config, steps=2))  # compiles what is compiled at first use
        for task in tasks:
            found = {name: timed(prune, model, task, config) for name, prune in paths.items()}
            line = [
                f"{seconds:>13.1f}{circuit.n_nodes:>7}{circuit.edges(model):>8}" for seconds, circuit in found.values()
            ]
            print(f"{directory.parent.name:<12}{task.name:<24}" + "".join(line), flush=True)
            for name, (seconds, _) in found.items():
                ratios[name].append(seconds / found["ours"][0])
        started = time.perf_counter()
        rank_together(model, tasks, [config] * len(tasks))
        together = time.perf_counter() - started
        started = time.perf_counter()
        for task in tasks:
            rank_nodes(model, task, config)
        alone = time.perf_counter() - started
        print(f"{'':<12}gates of {len(tasks)} tasks: {alone:.1f} s one by one, {together:.1f} s in one batch")
    for name, values in ratios.items():
        if name != "ours":
            mean = math.exp(sum(map(math.log, values)) / len(values))
            print(f"{name} takes {mean:.1f} times as long, geometric mean over {len(values)} model and task pairs")


if __name__ == "__main__":
    main()
