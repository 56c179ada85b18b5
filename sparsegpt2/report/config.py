"""Settings of the figures."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.results.aggregate import Size

SIZE_NAMES: dict[Size, str] = {"edges": "edges", "edges_trimmed": "edges after trimming"}


@dataclass(frozen=True, kw_only=True)
class FrontierConfig:
    """What is drawn, and which models are compared."""

    pruner: str | None = None
    """Pruner whose circuits are compared; by default the only one there is, or `node` among several."""
    target_loss: float | None = None
    """Target task loss in nats; by default the one nearest to 0.15 (paper)."""
    models: tuple[str, ...] = ()
    """Names of the models to draw; all by default."""
    size: Size = "edges"
    """Measure of circuit size: all edges between kept nodes, or only those left after trimming."""
    min_shared: int = 1
    """Tasks that must be shared: models that have the fewest tasks are left out, and named, until that many are."""
    match_within: float = 0.05
    """Held-out losses that differ by no more than this (nats per token) are matched, for the second figure."""
    same_l0_within: float = 0.1
    """Relative difference up to which two models are of the same L0 and joined by a line."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", tuple(self.models))
        require(self.min_shared >= 1, f"min_shared must be at least 1, got {self.min_shared}")
        require(self.match_within >= 0, f"match_within must be 0 or more, got {self.match_within}")
        require(self.same_l0_within >= 0, f"same_l0_within must be 0 or more, got {self.same_l0_within}")
        require(self.size in SIZE_NAMES, f"size must be one of {', '.join(SIZE_NAMES)}, got {self.size!r}")
