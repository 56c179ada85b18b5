"""Settings of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """What is benchmarked; how a circuit is found is a `PruneConfig`."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, or your own, as `mine.py` or `module:attribute`; all 20 by default."""
    pruners: tuple[str, ...] = ("node",)
    """Pruners to compare, your own as `mine.py` or `module:attribute`."""
    target_losses: tuple[float, ...] = ()
    """Task losses, in nats, that circuits must meet; by default the pruning settings' own (paper: 0.15)."""
    seeds: tuple[int, ...] = (0,)
    """Pruning seeds."""
    test_pairs: int = 256
    """Prompt pairs of the test split that circuits and unpruned models are scored on."""
    rank_each_target: bool = False
    """Rank the nodes anew for every target loss, with the penalty's controller aimed at it, instead of once, aimed at
    the target nearest to the pruning settings' own. Costs a pruning run for each target."""
    tune: int = 0
    """Trials of a search for each cell's best pruner settings, on train and validation instances (tune.py); 0: none."""
    together: int = 1
    """Tasks and seeds whose gates train in one batch, for pruners that can. More fill a GPU; on a CPU they gain about a
    fifth. Circuits are the same but for rounding, which depends on which tasks and seeds were asked for together."""
    evidence: bool = False
    """Judge every circuit by the checks of `sparsegpt2 evaluate`; the report stands in its row and beside its file."""
    device: str = "auto"
    """`auto`: a GPU where there is one, else the CPU; or a torch device such as `cuda:1`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "target_losses", tuple(map(float, self.target_losses)))
        for name in ("tasks", "pruners", "target_losses", "seeds"):
            values = tuple(getattr(self, name))
            require(len(set(values)) == len(values), f"{name} has an entry twice: {', '.join(map(str, values))}")
            object.__setattr__(self, name, values)
        require(bool(self.pruners) and bool(self.seeds), "a benchmark needs at least one pruner and one seed")
        require(all(target > 0 for target in self.target_losses), "target_losses must be over 0")
        require(self.tune >= 0, f"tune is a number of trials, 0 or more, got {self.tune}")
        require(self.together >= 1, f"together must be at least 1, got {self.together}")
        require(self.test_pairs >= 1, f"test_pairs must be at least 1, got {self.test_pairs}")
