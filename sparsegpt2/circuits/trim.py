"""Trimming: greedy removal of nodes and edges that a circuit does not need.

The paper's authors removed such nodes by hand (appendix A.5). Here the effect of each removal is estimated to first
order. With a gate z on every node and edge of the circuit, removing one of them changes the task loss L by about -dL/dz
at z = 1. One backward pass gives this for all of them. The candidates for removal are put in an order by the estimated
change per edge that their removal saves, and are removed in groups. After each group the loss on a fixed batch of
prompt pairs must still meet the target. A group that breaks the target is put back and halved, down to single
candidates. After each removal, the nodes that are then on no path from an input to the logits (that dangle) are dropped
too.

Shapes: C channels of a site, O and I rows and columns of a weight matrix.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sparsegpt2.circuits.ablated import Ablated
from sparsegpt2.circuits.ablations import Constant, mean_ablation
from sparsegpt2.circuits.aim import Aim
from sparsegpt2.circuits.circuit import Circuit
from sparsegpt2.circuits.edges import circuit_edges, edge_maps
from sparsegpt2.circuits.losses import task_loss
from sparsegpt2.circuits.settings import TrimSettings
from sparsegpt2.circuits.task import TaskBatch
from sparsegpt2.model.gpt import GPT

ROUNDS = 6
"""Largest number of rounds. Each round estimates the effects of removals again. Rounds alternate between two orders.
One begins with the removals that change the loss least, up or down. The other begins with those that lower the loss
most, because a lower loss allows more removals."""
PATIENCE = 12
"""A round ends when this many single candidates have broken the target."""
FIRST_SHARE = 4
"""The size of the first group of a round is the number of candidates divided by this."""
GRADIENT_ROWS = 128
"""Largest number of sequences in one forward and backward pass."""


def will_trim(settings: Aim) -> bool:
    """Whether a circuit pruned with these settings will be trimmed."""
    return isinstance(settings, TrimSettings) and settings.trim != "none"


@dataclass(frozen=True)
class Candidate:
    """A node or an edge that may be removed from the circuit."""

    change: float
    """Estimated change of the task loss if it is removed, in nats per edge that the removal saves."""
    place: str
    """The site of a node; the weight parameter of an edge."""
    index: int
    """The channel of a node; the flat index of an edge in its parameter."""


def trim(model: GPT, circuit: Circuit, batch: TaskBatch, target_loss: float, *, edges: bool = True) -> Circuit:
    """The part of `circuit` that remains after trimming; its loss on `batch` is at most `target_loss` nats.

    edges: whether to remove single edges too. The result then has `weights`, and the model needs biases. Otherwise only
    nodes are removed. Nodes on no path from an input to the logits are dropped first, and the result has none. But
    if the loss is above the target as soon as these are dropped, `circuit` is returned unchanged.
    """
    trimmed, means = circuit.trimmed(model), mean_ablation(model)
    if loss_under(model, trimmed, batch, target_loss, means) is None:
        return circuit
    if edges:
        trimmed = replace(trimmed, weights=trimmed.weights or every_edge(model))
    for number in range(ROUNDS):
        by_size = number % 2 == 0
        order = sorted(_candidates(model, trimmed, batch, edges), key=lambda one: _rank(one, by_size))
        smaller = _walk(model, trimmed, order, batch, target_loss, means)
        if number and smaller is trimmed:
            break
        trimmed = smaller
    return trimmed


def every_edge(model: GPT) -> dict[str, Tensor]:
    """Masks over weights that remove nothing: name of each parameter that holds edges -> bool, all true."""
    names = {edge_map.parameter for edge_map in edge_maps(model)}
    return {name: torch.ones_like(model.get_parameter(name), dtype=torch.bool) for name in sorted(names)}


@torch.no_grad()
def loss_under(
    model: GPT, circuit: Circuit, batch: TaskBatch, target_loss: float, means: Constant | None = None
) -> float | None:
    """The circuit's task loss on `batch` in nats, or None if it is above the target.

    The losses of rows are never negative, so the computation stops as soon as their sum is too large. means: the
    model's mean ablation, if the caller has it; this saves checking the node means again.
    """
    total = 0.0
    for _, part, logits in Ablated(model, circuit, ablation=means).each(batch):
        total += float(task_loss(logits, part).double().sum())
        if not total <= target_loss * len(batch):  # a sum of NaN stops it too
            return None
    return total / len(batch)


def _walk(
    model: GPT, circuit: Circuit, order: Sequence[Candidate], batch: TaskBatch, target_loss: float, means: Constant
) -> Circuit:
    """The circuit after one pass over the candidates.

    The candidates are removed in groups. If the loss then meets the target, the next group is twice as large. Otherwise
    the group is put back and half of it is tried; a single candidate that is put back stays in the circuit.
    """
    place, size, failures = 0, max(1, len(order) // FIRST_SHARE), 0
    while place < len(order) and failures < PATIENCE:
        smaller = _without(model, circuit, order[place : place + size])
        if smaller is None:
            place += size
        elif loss_under(model, smaller, batch, target_loss, means) is not None:
            circuit, place, size = smaller, place + size, 2 * size
        elif size == 1:
            place, failures = place + 1, failures + 1
        else:
            size //= 2
    return circuit


def _without(model: GPT, circuit: Circuit, gone: Sequence[Candidate]) -> Circuit | None:
    """The circuit without the candidates `gone` and without the nodes that then dangle.

    None if the circuit contains none of the candidates any more.
    """
    nodes = {site: mask.clone() for site, mask in circuit.nodes.items()}
    weights = {name: mask.clone() for name, mask in (circuit.weights or {}).items()}
    present = False
    for one in gone:
        mask = nodes[one.place] if one.place in nodes else weights[one.place].view(-1)
        present = present or bool(mask[one.index])
        mask[one.index] = False
    if not present:
        return None
    return replace(circuit, nodes=nodes, weights=weights or None).trimmed(model)


def _rank(candidate: Candidate, by_size: bool) -> float:
    """The value by which candidates are sorted, lowest first. by_size: ignore the sign of the change."""
    return abs(candidate.change) if by_size else candidate.change


def _candidates(model: GPT, circuit: Circuit, batch: TaskBatch, edges: bool) -> list[Candidate]:
    """Every node of the circuit and, with `edges`, every edge, each with the estimated change of the loss."""
    present = circuit_edges(model, circuit.nodes, circuit.weights)
    node_changes, edge_changes = _removal_changes(model, circuit, batch, edges)
    saved = {site: torch.zeros(len(mask)) for site, mask in circuit.nodes.items()}  # number of edges of each node, [C]
    for edge_map in edge_maps(model):
        block = present[edge_map.parameter][edge_map.rows, edge_map.columns].cpu()
        saved[edge_map.source] += block.sum(dim=0)
        saved[edge_map.target] += block.sum(dim=1)
    found = []
    for site, mask in circuit.nodes.items():
        change = node_changes[site] / saved[site].clamp(min=1)
        found += [Candidate(float(change[i]), site, i) for i in mask.nonzero().flatten().tolist()]
    for name, mask in present.items() if edges else ():
        change = edge_changes[name].flatten()
        found += [Candidate(float(change[i]), name, i) for i in mask.flatten().nonzero().flatten().tolist()]
    return [one for one in found if math.isfinite(one.change)]


def _removal_changes(
    model: GPT, circuit: Circuit, batch: TaskBatch, edges: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Estimated change of the loss in nats, -dL/dz at z = 1, when a node or a weight is removed.

    Returns the changes for nodes, site -> [C], and, with `edges`, for weights, parameter name -> [O, I]. L is the mean
    task loss over the batch.
    """
    device = model.wte.weight.device
    masks = [circuit.nodes, (circuit.weights or {}) if edges else {}]
    nodes, weights = (
        {place: mask.to(device, torch.float32).requires_grad_(True) for place, mask in some.items()} for some in masks
    )
    with torch.enable_grad():
        gated = Ablated(model, nodes, weights=weights or circuit.weights)
        for _, part, logits in gated.each(batch, GRADIENT_ROWS):
            loss = -task_loss(logits, part).sum() / len(batch)
            loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]  # all pieces share the graph of the masks
            del loss, logits
    node_changes, edge_changes = ({place: gradient(z) for place, z in some.items()} for some in (nodes, weights))
    return node_changes, edge_changes


def gradient(z: Tensor) -> Tensor:
    """The gradient of the leaf tensor z, on the CPU; zeros if no gradient reached it."""
    return torch.zeros(z.shape) if z.grad is None else z.grad.cpu()
