"""Settings of pruning: from a model and a task to a circuit (paper, appendix A.5).

Each pruner's settings are a dataclass of `settings.py`, `Settings` in its own file; so are those of trimming.
`PruneConfig` is all of them in one flat record: a pruner is given the whole record and sees, by its type, only what it
asks for. It is flat, and holds every built-in pruner's settings whichever pruner is named, because that is what rows of
results, circuit files, YAML files and flags have always held; a finished row is found again by a hash of it. A pruner
from outside cannot add a field, so its settings travel in `own`, which is left out wherever it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from sparsegpt2.circuits.aim import at_least_1, one_of
from sparsegpt2.circuits.settings import AttributionSettings, EdgeSettings, StochasticSettings, TrimSettings
from sparsegpt2.config import from_dict, require

Own = TypeVar("Own")


# Fields come in the order of these classes from right to left, then those of this one.
@dataclass(frozen=True, kw_only=True)
class PruneConfig(AttributionSettings, TrimSettings, EdgeSettings, StochasticSettings):
    """How a circuit is found: the ranking of nodes, then the choice of how many to keep."""

    search: Literal["scan", "bisect"] = "scan"
    """How the number of nodes is chosen: a scan of the loss-against-size curve, or the paper's bisection of it, which
    presumes that loss falls as nodes are added."""
    validation_pairs: int = 128
    """Pairs of the one fixed validation batch set on which every size is scored."""
    grid_ratio: float = 2.0
    """Ratio between neighbouring sizes of the scan's first pass."""
    grid_precision: float = 1.02
    """The scan refines around its smallest size until neighbouring sizes are no further apart than this ratio."""
    score_rows: int = 256
    """Most sequences in one forward pass when circuits are scored; more cost memory."""

    calibrate: bool = False
    """Fit a scale and a shift per answer token to the circuit's logits, 16 L-BFGS steps; the paper's authors doubt
    that this is principled."""

    own: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Settings of a pruner that is no part of sparsegpt2, by name; its file says in `Settings` which there are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "validation_pairs", "score_rows")
        require(
            1 < self.grid_precision <= self.grid_ratio,
            f"the scan needs 1 < grid_precision <= grid_ratio, got {self.grid_precision} and {self.grid_ratio}",
        )
        one_of(self, "search", "scan", "bisect")

    def own_as(self, kind: type[Own]) -> Own:
        """`own` as the settings dataclass of a pruner from outside; what that refuses is a `UserError`."""
        return from_dict(kind, self.own, f"own, the settings of pruner {self.name.base},")

    def check_own(self, kind: type | None) -> None:
        """Raise `UserError` unless `own` fits the pruner. kind: the `Settings` of its file, if there is one."""
        if kind is not None and not issubclass(PruneConfig, kind):
            self.own_as(kind)
            return
        unknown = ", ".join(sorted(self.own))
        require(not self.own, f"pruner {self.name.base} has no settings in own, but it was given {unknown}")

    def to_dict(self) -> dict[str, Any]:
        """The flat record as rows and circuit files hold it, `own` only where it says something."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.own:
            del values["own"]
        return values
