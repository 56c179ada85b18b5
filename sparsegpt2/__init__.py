"""Weight-sparse GPT-2-style language models, understandable by construction (Gao et al. 2025)."""
