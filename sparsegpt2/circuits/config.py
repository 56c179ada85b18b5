"""Settings of pruning: from a model and a task to a circuit (paper, appendix A.5).

The settings of each built-in pruner, and of trimming, are a dataclass in `settings.py`; a pruner's own file calls its
dataclass `Settings`. `PruneConfig` inherits from all of them and is one flat record. A pruner gets the whole record,
but the type of its `config` argument shows it only its own settings. The record holds the settings of every built-in
pruner, whichever is named, because rows of results, circuit files, YAML files and flags have always held them all, and
a finished row is found again by a hash of them. A pruner from outside the package cannot add a field, so its settings
are in `own`, which is stored only if it is not empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from sparsegpt2.circuits.aim import at_least_1, one_of
from sparsegpt2.circuits.settings import AttributionSettings, EdgeSettings, StochasticSettings, TrimSettings
from sparsegpt2.config import from_dict, require

Own = TypeVar("Own")


# The order of the fields: those of these classes from right to left, then those of this class.
@dataclass(frozen=True, kw_only=True)
class PruneConfig(AttributionSettings, TrimSettings, EdgeSettings, StochasticSettings):
    """How a circuit is found: first nodes are ranked, then the number to keep is chosen."""

    search: Literal["scan", "bisect"] = "scan"
    """How the number of nodes is chosen: a scan of the curve of loss against size, or the paper's bisection, which
    assumes that the loss falls as nodes are added."""
    validation_pairs: int = 128
    """Pairs in the one fixed validation batch on which every size is scored."""
    grid_ratio: float = 2.0
    """Ratio between neighbouring sizes in the scan's first pass."""
    grid_precision: float = 1.02
    """The scan refines below the smallest size that meets the target, until neighbouring sizes are no further apart
    than this ratio."""
    score_rows: int = 256
    """Largest number of sequences in one forward pass when circuits are scored; a larger number takes more memory."""

    calibrate: bool = False
    """Fit a scale, and a shift per answer token, to the circuit's logits with 16 L-BFGS steps; the paper's authors
    doubt that this is principled."""

    own: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Settings, by name, of a pruner from outside sparsegpt2; `Settings` in the pruner's file defines them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "validation_pairs", "score_rows")
        require(
            1 < self.grid_precision <= self.grid_ratio,
            f"the scan needs 1 < grid_precision <= grid_ratio, got {self.grid_precision} and {self.grid_ratio}",
        )
        one_of(self, "search", "scan", "bisect")

    def own_as(self, kind: type[Own]) -> Own:
        """`own` as the settings dataclass `kind` of a pruner from outside; a value it refuses is a `UserError`."""
        return from_dict(kind, self.own, f"own, the settings of pruner {self.name.base},")

    def check_own(self, kind: type | None) -> None:
        """Raise `UserError` unless `own` fits the pruner. kind: `Settings` of the pruner's file, or None."""
        if kind is not None and not issubclass(PruneConfig, kind):
            self.own_as(kind)
            return
        unknown = ", ".join(sorted(self.own))
        require(not self.own, f"pruner {self.name.base} has no settings in own, but it was given {unknown}")

    def to_dict(self) -> dict[str, Any]:
        """The flat record as rows and circuit files store it; without `own` if that is empty."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.own:
            del values["own"]
        return values
