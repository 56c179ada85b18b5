"""Circuits: find the nodes that are enough for a task, and count the edges between them.

A circuit is scored by how well the model does the task when all nodes outside the circuit are ablated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from sparsegpt2.circuits.ablated import Ablated
    from sparsegpt2.circuits.circuit import Circuit
    from sparsegpt2.circuits.config import PruneConfig
    from sparsegpt2.circuits.discretize import LossCurve
    from sparsegpt2.circuits.info import CircuitInfo
    from sparsegpt2.circuits.means import node_means
    from sparsegpt2.circuits.pruners import pruner_names
    from sparsegpt2.circuits.ranking import Ranking
    from sparsegpt2.circuits.score import Score, evaluate, unpruned_loss
    from sparsegpt2.circuits.search import circuit_at, find_circuit, rank_nodes, rank_together
    from sparsegpt2.circuits.task import Task, TaskBatch

__all__ = [
    "Ablated",
    "Circuit",
    "CircuitInfo",
    "LossCurve",
    "PruneConfig",
    "Ranking",
    "Score",
    "Task",
    "TaskBatch",
    "circuit_at",
    "evaluate",
    "find_circuit",
    "node_means",
    "pruner_names",
    "rank_nodes",
    "rank_together",
    "unpruned_loss",
]

__getattr__ = lazily(__name__)
