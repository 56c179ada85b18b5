"""The settings of pruning, with which a circuit for a task is found in a model (paper, appendix A.5).

`settings.py` defines one dataclass for the settings of each built-in pruner, and one for trimming. A pruner's own file
imports its dataclass under the name `Settings`. `PruneConfig` inherits from all of these classes and is one flat
record. A pruner gets the whole record, but the type of its `config` argument shows only its own settings.

The record holds the settings of every built-in pruner, whichever of them runs. Rows of results, circuit files, YAML
files and flags have always contained all of these settings, and a finished row is identified by a hash of them. A
pruner from outside the package cannot add a field to the record. Its settings are in the field `own`, which is stored
only if it is not empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar

from sparsegpt2.circuits.aim import at_least_1, one_of
from sparsegpt2.circuits.settings import AttributionSettings, EdgeSettings, StochasticSettings, TrimSettings
from sparsegpt2.config import from_dict, require

Own = TypeVar("Own")


# The fields of the base classes come first, from the right-most class to the left-most, then those of this class.
@dataclass(frozen=True, kw_only=True)
class PruneConfig(AttributionSettings, TrimSettings, EdgeSettings, StochasticSettings):
    """How a circuit is found: first nodes or edges are ranked, then the number to keep is chosen."""

    search: Literal["scan", "bisect"] = "scan"
    """How the number of nodes or edges is chosen: `scan` scores a grid of sizes and refines it; `bisect` is the paper's
    bisection, which assumes that the loss falls as nodes are added."""
    validation_pairs: int = 128
    """Number of prompt pairs in the validation batch. Every size is scored on the same batch."""
    grid_ratio: float = 2.0
    """Ratio between neighbouring sizes in the first pass of the scan."""
    grid_precision: float = 1.02
    """After its first pass, the scan tries more sizes just below the smallest one that meets the target, until the
    ratio between neighbouring sizes is at most this."""
    score_rows: int = 256
    """Largest number of sequences in one forward pass when circuits are scored. A larger number needs more RAM or GPU
    memory."""

    calibrate: bool = False
    """Whether to calibrate the circuit's logits: a scale, and a shift for each answer token, are fitted with 16 L-BFGS
    steps. The paper's authors doubt that this is principled."""

    own: dict[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """Settings of a pruner from outside sparsegpt2, by name. The class `Settings` in the pruner's file defines their
    names and types."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least_1(self, "validation_pairs", "score_rows")
        require(
            1 < self.grid_precision <= self.grid_ratio,
            f"the scan needs 1 < grid_precision <= grid_ratio, got {self.grid_precision} and {self.grid_ratio}",
        )
        one_of(self, "search", "scan", "bisect")

    def own_as(self, kind: type[Own]) -> Own:
        """Read `own` into `kind`, the settings dataclass of the pruner; `UserError` for a value that `kind` rejects."""
        return from_dict(kind, self.own, f"own, the settings of pruner {self.name.base},")

    def check_own(self, kind: type | None) -> None:
        """Raise `UserError` unless the pruner accepts the settings in `own`.

        kind: the class `Settings` in the pruner's file, or None if the file has none.
        """
        if kind is not None and not issubclass(PruneConfig, kind):
            self.own_as(kind)
            return
        unknown = ", ".join(sorted(self.own))
        require(not self.own, f"pruner {self.name.base} takes no settings in `own`, but `own` has {unknown}")

    def to_dict(self) -> dict[str, Any]:
        """The flat record as it is stored in rows and circuit files; without `own` if that is empty."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        if not self.own:
            del values["own"]
        return values
