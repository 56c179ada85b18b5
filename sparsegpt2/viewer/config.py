"""Settings of a page."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How much of a circuit a page shows, and from how much text."""

    max_nodes: int = 500
    """Nodes to show, at most; of a larger circuit, those that the pruner ranked highest."""
    max_edges: int = 6000
    """Edges to show, at most; if there are more, those of the largest magnitude."""
    windows: int = 256
    """Windows of corpus text, each as long as the model's context, for activations; 0: none."""
    pairs: int = 64
    """Validation pairs of the task for activations."""
    effect_pairs: int = 8
    """Validation pairs for the effect of ablating each node; 0: none."""
    score_pairs: int = 128
    """Test pairs for the losses of the whole model, the circuit and its complement."""
    examples: int = 8
    """Pairs to show as examples."""
    pattern_bytes: int = 2_500_000
    """Largest size of the attention patterns in bytes, before base64; 0: none."""
    batch_size: int = 16
    """Windows in one forward pass; it bounds the use of RAM."""
    seed: int = 0
    """Seed for the task's pairs and the random snippets."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("max_nodes", "max_edges", "pairs", "score_pairs", "examples", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("windows", "effect_pairs", "pattern_bytes", "seed"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
