"""Settings of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What to benchmark. How circuits are found is set in `PruneConfig`."""

    tasks: tuple[str, ...] = ()
    """Tasks: names, or your own tasks as `mine.py` or `module:attribute`; by default all 20 tasks about Python."""
    pruners: tuple[str, ...] = ("node",)
    """Pruners to compare: names, or your own pruners as `mine.py` or `module:attribute`."""
    target_losses: tuple[float, ...] = ()
    """Target losses that circuits must meet, in nats; by default only the one in the pruning settings (0.15)."""
    seeds: tuple[int, ...] = (0,)
    """Pruning seeds."""
    test_pairs: int = 256
    """Number of test pairs that circuits and unpruned models are scored on."""
    rank_each_target: bool = False
    """Rank the nodes separately for every target loss, which costs a pruning run for each. By default they are ranked
    once, for the target loss nearest to the one in the pruning settings."""
    tune: int = 0
    """Number of trials in a search for the best pruning settings of each model, task, pruner and seed. The search uses
    train and validation pairs (sparsegpt2/circuits/tune.py). 0: no search."""
    together: int = 1
    """Number of pruning runs, each for one task and seed, whose gates train in one batch, if the pruner supports it. A
    larger number makes better use of a GPU; on a CPU it saves about a fifth of the time. Circuits are the same except
    for rounding errors, which depend on the tasks and seeds that share a batch."""
    evidence: bool = False
    """Check every circuit, as `sparsegpt2 evaluate` does. The report is saved in the row and in a file next to the
    circuit."""
    device: str = "auto"
    """`auto`: a GPU if there is one, else the CPU; or a torch device such as `cuda:1`."""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "target_losses", tuple(map(float, self.target_losses)))
        for name in ("tasks", "pruners", "target_losses", "seeds"):
            values = tuple(getattr(self, name))
            require(len(set(values)) == len(values), f"{name} has an entry twice: {', '.join(map(str, values))}")
            object.__setattr__(self, name, values)
        require(bool(self.pruners) and bool(self.seeds), "a benchmark needs at least one pruner and one seed")
        require(all(target > 0 for target in self.target_losses), "target_losses must be above 0")
        require(self.tune >= 0, f"tune must be 0 or more, got {self.tune}")
        require(self.together >= 1, f"together must be at least 1, got {self.together}")
        require(self.test_pairs >= 1, f"test_pairs must be at least 1, got {self.test_pairs}")
