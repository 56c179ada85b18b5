"""Cases for the checks: the planted circuit of the folder above, a model whose circuit is a cheat, and edge masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from sparsegpt2 import GPT
from sparsegpt2.circuits import Circuit, CircuitInfo, PruneConfig, node_means
from sparsegpt2.circuits.edges import ablate_edges
from sparsegpt2.circuits.losses import answer_logits, task_loss
from sparsegpt2.circuits.task import Task
from sparsegpt2.evidence import EvidenceConfig
from sparsegpt2.evidence.case import Case
from sparsegpt2.evidence.text import prompt_text

SMALL = {"pairs": 16, "draws": 4, "minimality_pairs": 8, "adversary_steps": 8, "adversary_pairs": 4, "text_rows": 8}
QUICK = {"binarisation_steps": 20, "binarisation_pairs": 4}
PRUNE = PruneConfig(pruner="random", validation_pairs=8, dtype="float32")


def silent(_done: int, _total: int, _what: str) -> None:
    """No progress is shown."""


@pytest.fixture
def make_case() -> Callable[..., Case]:
    def make(model: GPT, task: Task, nodes: dict[str, Tensor], weights: Any = None, **settings: Any) -> Case:
        info, prune = settings.pop("info", CircuitInfo()), settings.pop("prune", PRUNE)
        config = EvidenceConfig(**{**SMALL, **QUICK, **settings})
        text = prompt_text(model, task, config.text_rows)
        circuit = Circuit(nodes, weights=weights, info=info)
        return Case(model, task, circuit, config, text=text, text_source="prompts", prune=prune)

    return make


@dataclass
class Cheat:
    """A model that does a task by one route, and a circuit that only seems to do it, by another."""

    model: GPT
    task: Any
    nodes: dict[str, Tensor]
    real: dict[str, Tensor]


@pytest.fixture
def cheat(planted: Any, make_masks: Any) -> Cheat:
    """Three more routes carry the answer to channel 2 and cancel: only the planted one, of weight 1, does the task.

    Neurons 2 and 3 add twice as much of the same, 4 and 5 take four times as much away, 6 and 7 add twice as much
    again. Ablating all but 2 and 3 leaves them to do the task alone, which in the model they never do.
    """
    model, mlp = planted.model, planted.model.blocks[0].mlp
    mlp.c_fc.weight[2:8] = 0
    mlp.c_proj.weight[:, 2:8] = 0
    for first, strength in ((2, 2), (4, -4), (6, 2)):
        for neuron, sign in ((first, 1), (first + 1, -1)):
            mlp.c_fc.weight[neuron, 1] = sign
            mlp.c_proj.weight[2, neuron] = strength * sign
    model.means = node_means(model, planted.task.batch("train", 64, 0).tokens)
    seeming = {**planted.circuit, "0.mlp.post_act": [2, 3]}
    return Cheat(model, planted.task, make_masks(model, seeming), planted.nodes)


@pytest.fixture
def run_check() -> Callable[..., Any]:
    from sparsegpt2.evidence import get_check

    def run(name: str, case: Case) -> Any:
        return get_check(name).run(case, silent)

    return run


@pytest.fixture
def one_edge_off(planted: Any) -> dict[str, Tensor]:
    """A mask over weights without the edge from the second neuron to the answers' channel."""
    kept = torch.ones_like(planted.model.blocks[0].mlp.c_proj.weight, dtype=torch.bool)
    kept[2, 1] = False
    return {"blocks.0.mlp.c_proj.weight": kept}


def losses_by_hand(case: Any, keep: Any, fill: Any = None, weights: Any = None, batch: Any = None) -> torch.Tensor:
    """Losses [B] with nodes outside `keep` set to `fill`, one prompt after the other, without padding."""
    batch, fill = batch or case.batch, fill or case.means

    def site(name: str, x: torch.Tensor) -> torch.Tensor:
        return torch.where(keep[name], x, fill[name]) if name in keep else x

    parameters = ablate_edges(case.model, weights or {}, fill)
    rows = []
    for row in range(0, len(batch), 2):
        pair = batch.take(torch.tensor([row, row + 1]))
        rows.append(task_loss(answer_logits(case.model, pair, site, parameters=parameters), pair))
    return torch.cat(rows)


@pytest.fixture
def by_hand() -> Callable[..., Tensor]:
    return losses_by_hand
