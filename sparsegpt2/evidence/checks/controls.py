"""Controls: does the pruner find circuits as small as this one where there is no real circuit?

The same pruner is run with the same settings and target on the task with shuffled answers, and in models of the same
shape and density that have learned nothing (`twins.py` defines both). If no circuit of a control meets the target, the
edges of the control's whole model are counted instead. A real circuit is far smaller than the circuits of all controls.
A circuit that is not far smaller is not believable, whatever the other checks find.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.score import evaluate
from sparsegpt2.circuits.search import find_circuit
from sparsegpt2.circuits.task import Task
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.checks.seeds import part
from sparsegpt2.evidence.estimate import Estimate, Verdict, all_of, at_least, mean_of
from sparsegpt2.evidence.registry import Check
from sparsegpt2.evidence.report import Finding
from sparsegpt2.evidence.twins import NonsenseTask, random_twin
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress

Control = Callable[[int], tuple[GPT, Task]]
"""A function that takes a seed and returns the model and the task of a control."""


def controls(case: Case) -> dict[str, Control]:
    """Name of each control -> the function that makes it."""
    vocabulary = case.model.config.vocab_size
    found: dict[str, Control] = {
        "shuffled answers": lambda seed: (case.model, NonsenseTask(case.task, vocabulary, seed))
    }
    for kind in case.config.twins:
        found[f"random model, {kind}"] = partial(_in_random_model, case, kind)
    return found


def _in_random_model(case: Case, kind: str, seed: int) -> tuple[GPT, Task]:
    return random_twin(case.model, kind, seed, case.text), case.task


def run(case: Case, progress: Progress) -> Finding:
    """Measure log2(control edges / circuit edges) for each control. All must be at least log2(`control_ratio`)."""
    edges = case.circuit.edges(case.model)
    if not edges:
        return Finding(verdict="not run", says="the circuit has no edges to compare")
    bar, names = math.log2(case.config.control_ratio), controls(case)
    numbers: dict[str, Estimate] = {}
    verdicts: dict[str, Verdict] = {}
    details: dict[str, Any] = {"bar": case.config.control_ratio, "edges": edges, "text": case.text_source}
    total, said = len(names) * case.config.control_seeds, []
    for order, (name, control) in enumerate(names.items()):
        runs = []
        for index in range(case.config.control_seeds):
            step = part(progress, order * case.config.control_seeds + index, total)
            seed = case.config.seed + index
            runs.append(case.remember(f"controls/{name}/{seed}", partial(measure, case, control, seed, step)))
        numbers[name] = mean_of([math.log2(max(1, run["edges"]) / edges) for run in runs], "control seeds")
        verdicts[name] = at_least(numbers[name], bar)
        details[name] = runs
        missed = not all(run["reached"] for run in runs)
        said.append(f"{name} {'more than ' * missed}{2 ** numbers[name].value:.3g} times as large")
    return Finding(
        verdict=all_of(verdicts.values()),
        says=f"compared with {edges} edges: {', '.join(said)}; the bar is {case.config.control_ratio:g} times",
        numbers={f"log2 of size ratio, {name}": number for name, number in numbers.items()},
        details={**details, "verdicts": verdicts},
    )


def measure(case: Case, control: Control, seed: int, progress: Progress) -> dict[str, Any]:
    """Find the circuit of one control; returns its numbers of edges and nodes and its losses as plain values.

    `reached` says whether the circuit met the target. If it did not, the numbers are those of the control's whole
    model.
    """
    model, task = control(seed)
    found = find_circuit(model, task, replace(case.prune, seed=seed), progress)
    reached = found.info.met
    circuit = found if reached else Circuit(every_node(model))
    score = evaluate(model, task, circuit, pairs=case.config.pairs, seed=case.config.seed)
    return {
        "edges": circuit.edges(model),
        "nodes": circuit.n_nodes,
        "reached": reached,
        "loss": score.loss,
        "loss_full": score.loss_full,
    }


CHECK = Check(
    asks="Is the circuit far smaller than circuits of nonsense and of random models?", run=run, expensive=True
)
