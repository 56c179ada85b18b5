"""Component circuits: the heads, MLPs and edges between them that do a task, found with methods from the literature."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from sparsegpt2.components.circuit import ComponentCircuit
    from sparsegpt2.components.config import DiscoverConfig
    from sparsegpt2.components.find import Discovered, discover, score_circuits
    from sparsegpt2.components.graph import ComponentGraph
    from sparsegpt2.components.methods import get_method, method_names

__all__ = [
    "ComponentCircuit",
    "ComponentGraph",
    "DiscoverConfig",
    "Discovered",
    "discover",
    "get_method",
    "method_names",
    "score_circuits",
]

__getattr__ = lazily(__name__)
