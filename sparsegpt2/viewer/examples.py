"""Prompt pairs of the task, and what the whole model, the circuit and its complement predict after each prompt.

Shapes: B rows (two per pair), V tokens in the vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sparsegpt2.circuits import Ablated, Circuit
from sparsegpt2.circuits.circuit import every_node
from sparsegpt2.circuits.edges import edge_maps
from sparsegpt2.circuits.losses import accuracy, choice_logits, task_batch, task_loss
from sparsegpt2.circuits.task import ANYTHING_ELSE, Task, TaskBatch
from sparsegpt2.model.gpt import GPT
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.viewer.graph import short
from sparsegpt2.viewer.schema import Choice, Scores, SideData

TOP = 3
"""Number of tokens shown for each prompt, the most probable ones."""

VARIANTS = ("full", "circuit", "complement")
"""The whole model, the circuit, and everything except the circuit. The page shows the predictions of all three."""


def complement(circuit: Circuit, model: GPT) -> Circuit:
    """Everything except the circuit, as another circuit.

    It has the other nodes or, if the circuit has a mask over weights, all nodes and the other edges.
    """
    if circuit.weights is None:
        return Circuit(nodes={site: ~kept for site, kept in circuit.nodes.items()})
    weights: dict[str, Tensor] = {}
    for edge_map in edge_maps(model):
        parameter = model.get_parameter(edge_map.parameter)
        rest = weights.setdefault(edge_map.parameter, torch.ones_like(parameter, dtype=torch.bool))
        ends = circuit.nodes[edge_map.target][:, None] & circuit.nodes[edge_map.source]
        kept = circuit.weights.get(edge_map.parameter)
        block = (edge_map.rows, edge_map.columns)
        rest[block] = ~(ends if kept is None else ends & kept[block]).to(rest.device)
    return Circuit(nodes=every_node(model), weights=weights)


@torch.no_grad()
def variant_logits(model: GPT, circuit: Circuit, batch: TaskBatch) -> dict[str, Tensor]:
    """Logits [B, V] after each prompt, for each of `VARIANTS`. If the circuit has a calibration, it is applied."""
    variants = {
        "full": Ablated(model),
        "circuit": Ablated(model, circuit, calibration=circuit.info.calibration),
        "complement": Ablated(model, complement(circuit, model)),
    }
    return {name: variant.logits(batch) for name, variant in variants.items()}


def task_scores(model: GPT, task: Task, circuit: Circuit, *, split: str, pairs: int, seed: int) -> Scores:
    """Task loss (nats) and accuracy of each of `VARIANTS` on `pairs` pairs of a split."""
    batch = task_batch(model, task, split, pairs, seed)
    logits = variant_logits(model, circuit, batch)
    return {
        "split": split,
        "pairs": pairs,
        "loss": {name: short(float(task_loss(one, batch).mean())) for name, one in logits.items()},
        "accuracy": {name: short(accuracy(one, batch)) for name, one in logits.items()},
    }


def example_pairs(
    model: GPT, circuit: Circuit, batch: TaskBatch, tokenizer: Tokenizer
) -> list[tuple[SideData, SideData]]:
    """Every pair of `batch`, with the probabilities that each of `VARIANTS` predicts."""
    choices = {
        name: list(_choices(logits, batch, tokenizer)) for name, logits in variant_logits(model, circuit, batch).items()
    }
    sides: list[SideData] = []
    for row in range(len(batch)):
        length = int(batch.position[row]) + 1
        sides.append(
            {
                "tokens": batch.tokens[row, :length].tolist(),
                "answer": _text(int(batch.answer[row]), tokenizer),
                "alternative": _text(int(batch.alternative[row]), tokenizer),
                "full": choices["full"][row],
                "circuit": choices["circuit"][row],
                "complement": choices["complement"][row],
            }
        )
    return list(zip(sides[::2], sides[1::2], strict=True))


def first_pairs(batch: TaskBatch, pairs: int) -> TaskBatch:
    """The first `pairs` pairs of a batch, padded only to the longest of their prompts."""
    rows = 2 * pairs
    width = int(batch.position[:rows].max()) + 1
    return TaskBatch(
        tokens=batch.tokens[:rows, :width],
        position=batch.position[:rows],
        answer=batch.answer[:rows],
        alternative=batch.alternative[:rows],
    )


def _choices(logits: Tensor, batch: TaskBatch, tokenizer: Tokenizer) -> Iterator[Choice]:
    right, wrong = choice_logits(logits, batch)
    chances = torch.sigmoid(right - wrong)
    probabilities = logits.softmax(dim=1)
    best, ids = probabilities.topk(min(TOP, probabilities.shape[1]), dim=1)
    for row in range(len(batch)):
        yield {
            "right": short(float(chances[row])),
            "answer": _probability(probabilities[row], int(batch.answer[row])),
            "alternative": _probability(probabilities[row], int(batch.alternative[row])),
            "top": [
                (tokenizer.token(id), short(p)) for id, p in zip(ids[row].tolist(), best[row].tolist(), strict=True)
            ],
        }


def _probability(row: Tensor, token: int) -> float | None:
    return None if token == ANYTHING_ELSE else short(float(row[token]))


def _text(token: int, tokenizer: Tokenizer) -> str | None:
    return None if token == ANYTHING_ELSE else tokenizer.token(token)
