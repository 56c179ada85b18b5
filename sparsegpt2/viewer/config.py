"""How much a page gathers."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How much of a circuit a page shows, and from how much text."""

    max_nodes: int = 500
    """Nodes shown; of a larger circuit those that the pruner ranked highest."""
    max_edges: int = 6000
    """Edges shown; of more those with the largest magnitude."""
    windows: int = 256
    """Windows of corpus text, as long as the model's context, over which activations are gathered; 0: none."""
    pairs: int = 64
    """Validation pairs of the task, for its activations."""
    effect_pairs: int = 8
    """Validation pairs on which the effect of ablating each node is taken; 0: none."""
    score_pairs: int = 128
    """Test pairs for the losses of whole model, circuit and complement."""
    examples: int = 8
    """Pairs shown one by one."""
    pattern_bytes: int = 2_500_000
    """Room for attention patterns before they are written as base64."""
    batch_size: int = 16
    """Windows in one forward pass while gathering: bounds memory."""
    seed: int = 0
    """Of the task's pairs and of the random snippets."""

    def __post_init__(self) -> None:
        for name in ("max_nodes", "max_edges", "pairs", "score_pairs", "examples", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("windows", "effect_pairs", "pattern_bytes", "seed"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
