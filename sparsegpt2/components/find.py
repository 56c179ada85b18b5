"""`discover`: run a method on a model and a task, and return the circuits that it finds."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch

from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.task import Task
from sparsegpt2.components.circuit import ComponentCircuit, ComponentInfo
from sparsegpt2.components.config import DiscoverConfig
from sparsegpt2.components.discovery import Discovery
from sparsegpt2.components.memory import PeakMemory
from sparsegpt2.components.methods import get_method
from sparsegpt2.components.problem import Problem
from sparsegpt2.components.score import ComponentScore, score_masks
from sparsegpt2.config import require, to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


@dataclass(frozen=True, eq=False)
class Discovered:
    """The circuits that a method found, and the time and memory that it took."""

    discovery: Discovery
    circuits: tuple[ComponentCircuit, ...]
    """The circuits in order of sparsity (share of edges left out), lowest first. They can contain edges that
    are on no path to the logits; `ComponentCircuit.trimmed` drops those edges."""
    seconds: float
    megabytes: float | None
    """Peak memory minus the memory in use before the method ran; None if the system does not report it."""

    def __repr__(self) -> str:
        sizes = ", ".join(str(circuit.n_edges) for circuit in self.circuits[:8])
        more = ", ..." if len(self.circuits) > 8 else ""
        return f"Discovered({len(self.circuits)} circuits of {sizes}{more} edges, in {self.seconds:.1f} s)"


def discover(
    model: GPT,
    task: Task,
    config: DiscoverConfig | None = None,
    settings: Any = None,
    progress: Progress | None = None,
) -> Discovered:
    """Find component circuits of `model` for `task` with `config.method`, on train pairs, in float32.

    settings: an instance of the method's `Settings`; None for its defaults. `UserError` for an unknown method, settings
    of another method, a model without a component graph, NaN in the model, or prompts that the model cannot read.
    """
    config = config or DiscoverConfig()
    method = get_method(config.method)
    config = replace(config, method=method.name)
    settings = method.settings() if settings is None else settings
    require(isinstance(settings, method.settings), f"method {config.method} needs its own Settings, got {settings}")
    objective = config.objective or method.objective
    problem = Problem(model, task, config, objective)
    started = time.perf_counter()
    with frozen(model, torch.float32), PeakMemory(problem.device) as peak:
        discovery = method.discover(problem, settings, progress)
    seconds = time.perf_counter() - started
    own = {**to_dict(config), "objective": objective, "settings": to_dict(settings)}
    circuits = [
        ComponentCircuit(problem.graph, one.kept, ComponentInfo(task=task.name, **own, asked=one.asked))
        for one in discovery.found
    ]
    return Discovered(discovery, tuple(circuits), seconds, peak.megabytes)


def score_circuits(
    model: GPT,
    task: Task,
    circuits: tuple[ComponentCircuit, ...],
    config: DiscoverConfig,
    *,
    split: str = "test",
    pairs: int = 128,
    seed: int = 0,
) -> list[ComponentScore]:
    """Score each circuit and the full model on the same pairs, with `config.intervention`, in float32."""
    problem = Problem(model, task, config, "kl")
    for circuit in circuits:
        if circuit.graph != problem.graph:
            raise UserError(
                f"the circuit belongs to a model with {circuit.graph.n_layer} layers of {circuit.graph.n_head} heads, "
                f"but this model has {problem.graph.n_layer} layers of {problem.graph.n_head}"
            )
    with frozen(model, torch.float32):
        return score_masks(problem, torch.stack([one.kept for one in circuits]), split=split, pairs=pairs, seed=seed)
