"""Settings of the pages that `sparsegpt2 view` writes."""

from __future__ import annotations

from dataclasses import dataclass

from sparsegpt2.config import require
from sparsegpt2.settings.fields import check_fields


@dataclass(frozen=True, kw_only=True)
class ViewConfig:
    """How much of a circuit a page shows, and from how much text."""

    max_nodes: int = 500
    """Largest number of nodes to show. Of a larger circuit, the nodes that the pruner ranked highest are shown."""
    max_edges: int = 6000
    """Largest number of edges to show. If there are more, those with the largest magnitudes are shown."""
    windows: int = 256
    """Number of windows of corpus text on which activations are shown, each as long as the model's context; 0: none."""
    pairs: int = 64
    """Number of the task's validation pairs on which activations are shown."""
    effect_pairs: int = 8
    """Number of validation pairs on which the effect of ablating each node is measured; 0: not measured."""
    score_pairs: int = 128
    """Number of test pairs on which the whole model, the circuit and its complement are scored."""
    examples: int = 8
    """Number of validation pairs to show as examples."""
    pattern_bytes: int = 2_500_000
    """Largest size of the attention patterns in bytes, before base64 encoding; 0: no patterns."""
    batch_size: int = 16
    """Number of windows or prompts in one forward pass. A smaller number takes less RAM."""
    seed: int = 0
    """Seed for the task's pairs and for the choice of random snippets."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("max_nodes", "max_edges", "pairs", "score_pairs", "examples", "batch_size"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("windows", "effect_pairs", "pattern_bytes", "seed"):
            require(getattr(self, name) >= 0, f"{name} must be 0 or more, got {getattr(self, name)}")
