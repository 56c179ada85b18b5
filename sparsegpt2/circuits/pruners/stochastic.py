"""The node pruner, with only a random part of what it would drop ablated at a time.

Nodes ablated together can cancel, and so let a pruner put together circuits that the model does not use (Drori 2026).
Random parts of the complement can't be relied on to: a circuit trained so must work inside the living model as well as
alone. `ablation_rate` is the least part; at 1 this is the node pruner.
"""

from __future__ import annotations

from sparsegpt2.circuits.config import PruneConfig
from sparsegpt2.circuits.pruners.node import rank_together
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def rank(model: GPT, task: Task, config: PruneConfig, progress: Progress | None = None) -> Ranking:
    """Nodes by tau after training the gates; see `node.rank_together`."""
    return rank_together(model, [task], [config], progress, stochastic=True)[0]
