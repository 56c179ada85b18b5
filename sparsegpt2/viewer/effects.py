"""What the task loses when one node is ablated, in the circuit and in the whole model.

Shapes: R runs (one ablated node each) in a forward pass, B rows of the task's batch, C channels of a site.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.edges import ablate_edges
from sparsegpt2.circuits.gates import frozen
from sparsegpt2.circuits.means import means_of
from sparsegpt2.circuits.reduce import Reduction
from sparsegpt2.circuits.score import ROWS, answer_logits, task_loss
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.viewer.graph import Shown


@torch.no_grad()
def ablation_effects(
    model: GPT, circuit: Circuit, batch: TaskBatch, shown: Shown, progress: Progress | None = None
) -> tuple[list[float], list[float]]:
    """For each shown node: how much the task loss rises, in nats, when it too is mean-ablated.

    Returns the effects in the circuit (all else is ablated) and in the whole model (nothing else is).
    """
    edges = ablate_edges(model, circuit.weights or {}, means_of(model))
    in_circuit = _effects(model, circuit.nodes, edges, batch, shown, progress, "effects in the circuit")
    in_model = _effects(model, every_node(model), {}, batch, shown, progress, "effects in the whole model")
    return in_circuit, in_model


def _effects(
    model: GPT,
    nodes: Mapping[str, Tensor],
    parameters: dict[str, Tensor],
    batch: TaskBatch,
    shown: Shown,
    progress: Progress | None,
    what: str,
) -> list[float]:
    """Losses without each node minus the loss with all of `nodes`; the first run of all ablates nothing more."""
    at_once, losses = max(1, ROWS // len(batch)), []
    ablated: list[tuple[str, int] | None] = [None, *shown.nodes]
    reduction = Reduction(model, nodes, torch.float32, parameters)
    with frozen(model, torch.float32):
        for start in range(0, len(ablated), at_once):
            group = ablated[start : start + at_once]
            masks = {site: kept.cpu().repeat(len(group), 1) for site, kept in nodes.items()}  # [R, C]
            for run, node in enumerate(group):
                if node is not None:
                    masks[node[0]][run, node[1]] = False
            site, smaller = reduction.ablation(masks), reduction.parameters
            logits = answer_logits(model, batch, site, runs=len(group), parameters=smaller, position_only=True)
            losses += [float(task_loss(one, batch).mean()) for one in logits.unflatten(0, (len(group), -1))]
            if progress is not None:
                progress(min(start + at_once, len(ablated)), len(ablated), what)
    return [loss - losses[0] for loss in losses[1:]]
