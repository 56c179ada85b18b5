"""The paper's node pruner (appendix A.5): every node has a gate, and training finds few open gates that do the task.

tau is the trained parameter of a gate, which is open where tau is 0 or more (docs/definitions.md, Gate).
"""

from __future__ import annotations

from collections.abc import Sequence

from sparsegpt2.circuits.node_training import train_nodes
from sparsegpt2.circuits.ranking import Ranking
from sparsegpt2.circuits.settings import NodeSettings as Settings
from sparsegpt2.circuits.task import Task
from sparsegpt2.model.gpt import GPT
from sparsegpt2.progress import Progress


def rank(model: GPT, task: Task, config: Settings, progress: Progress | None = None) -> Ranking:
    """Rank nodes by tau after training the gates. `trained_size` is the number of open gates (tau >= 0)."""
    return rank_together(model, [task], [config], progress)[0]


def rank_together(
    model: GPT, tasks: Sequence[Task], configs: Sequence[Settings], progress: Progress | None = None
) -> list[Ranking]:
    """Train gates for all tasks together, and return one ranking for each task and its config; see `train_nodes`."""
    return train_nodes(model, tasks, configs, progress)
