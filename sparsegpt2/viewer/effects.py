"""How much the task loss rises when one node is ablated, in the circuit and in the whole model.

Several nodes are tried in one forward pass, each in a run with its own mask.
Shapes: R runs in a forward pass, B rows in the task's batch, C channels of a site.
"""

from __future__ import annotations

import torch

from sparsegpt2.circuits.ablated import ROWS, Ablated
from sparsegpt2.circuits.circuit import Circuit, every_node
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress
from sparsegpt2.viewer.graph import Shown


@torch.no_grad()
def ablation_effects(
    model: GPT, circuit: Circuit, batch: TaskBatch, shown: Shown, progress: Progress | None = None
) -> tuple[list[float], list[float]]:
    """The rise of the task loss (nats) when each shown node is mean-ablated, one at a time.

    Returns two lists in the order of the shown nodes: the rises in the circuit, where everything outside the circuit is
    ablated too, and the rises in the whole model.
    """
    in_circuit = _effects(model, circuit, batch, shown, progress, "effects in the circuit")
    in_model = _effects(model, Circuit(every_node(model)), batch, shown, progress, "effects in the whole model")
    return in_circuit, in_model


def _effects(
    model: GPT, circuit: Circuit, batch: TaskBatch, shown: Shown, progress: Progress | None, what: str
) -> list[float]:
    """For each shown node, the loss of `circuit` without it, minus the loss of `circuit` itself.

    The latter is measured in the first run, in which no further node is ablated.
    """
    at_once, losses = max(1, ROWS // len(batch)), []
    ablations: list[tuple[str, int] | None] = [None, *shown.nodes]
    ablated = Ablated(model, circuit)
    for start in range(0, len(ablations), at_once):
        group = ablations[start : start + at_once]
        masks = {site: kept.cpu().repeat(len(group), 1) for site, kept in circuit.nodes.items()}  # [R, C]
        for run, node in enumerate(group):
            if node is not None:
                masks[node[0]][run, node[1]] = False
        losses += ablated.under(masks).losses(batch).mean(dim=1).tolist()
        if progress is not None:
            progress(min(start + at_once, len(ablations)), len(ablations), what)
    return [loss - losses[0] for loss in losses[1:]]
