"""Settings of the figures and tables that `sparsegpt2 frontier` makes."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.results.aggregate import Size
from sparsegpt2.settings.fields import check_fields

SIZE_NAMES: dict[Size, str] = {"edges": "edges", "edges_trimmed": "edges without dangling nodes"}


@dataclass(frozen=True, kw_only=True)
class FrontierConfig:
    """Which results to draw, and which models to compare."""

    pruner: str | None = None
    """Pruner whose circuits are compared; by default the only one in the results, or `node` if there are several."""
    target_loss: float | None = None
    """Target loss in nats; by default the one in the results that is nearest to 0.15, the paper's."""
    models: tuple[str, ...] = ()
    """Names of the models to draw; by default all."""
    size: Size = "edges"
    """Measure of circuit size: `edges` between kept nodes, or `edges_trimmed`, after dropping dangling nodes."""
    min_shared: int = 1
    """Smallest number of tasks that the compared models must share. While they share fewer, the model with the fewest
    tasks is left out; the figure names the models that were left out."""
    match_within: float = 0.05
    """For the second figure, held-out losses count as equal if they differ by at most this many nats per token."""
    same_l0_within: float = 0.1
    """Models count as having the same L0, and are joined by a line, if their L0 differs by at most this share."""

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "models", tuple(self.models))
        require(self.min_shared >= 1, f"min_shared must be at least 1, got {self.min_shared}")
        require(self.match_within >= 0, f"match_within must be 0 or more, got {self.match_within}")
        require(self.same_l0_within >= 0, f"same_l0_within must be 0 or more, got {self.same_l0_within}")
        require(self.size in SIZE_NAMES, f"size must be one of {', '.join(SIZE_NAMES)}, got {self.size!r}")
