"""Weight-sparse GPT-2-style language models, understandable by construction (Gao et al. 2025)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.lazy import lazily

if TYPE_CHECKING:
    from sparsegpt2.config import GPTConfig, OptimizerConfig, SparsityConfig
    from sparsegpt2.errors import UserError
    from sparsegpt2.model.checkpoint import load_model, save_model
    from sparsegpt2.model.gpt import GPT

__all__ = ["GPT", "GPTConfig", "OptimizerConfig", "SparsityConfig", "UserError", "load_model", "save_model"]

__getattr__ = lazily(__name__)
