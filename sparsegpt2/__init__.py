"""Weight-sparse GPT-2-style language models, understandable by construction (Gao et al. 2025)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsegpt2.config import GPTConfig, OptimizerConfig, SparsityConfig
    from sparsegpt2.errors import UserError
    from sparsegpt2.model.checkpoint import load_model, save_model
    from sparsegpt2.model.gpt import GPT

__all__ = ["GPT", "GPTConfig", "OptimizerConfig", "SparsityConfig", "UserError", "load_model", "save_model"]

_MODULES = {
    "GPT": "model.gpt",
    "GPTConfig": "config",
    "OptimizerConfig": "config",
    "SparsityConfig": "config",
    "UserError": "errors",
    "load_model": "model.checkpoint",
    "save_model": "model.checkpoint",
}
"""Where each name lives; imported when asked for, so that `import sparsegpt2` alone takes no torch."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
