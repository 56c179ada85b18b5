"""Where models, runs and tokenizers lie: folders, `zoo:NAME` and `hf:user/name`, and what files name."""

from sparsegpt2.locate.paths import (
    CHECKPOINTS,
    CONFIG,
    FILES,
    MEANS,
    TOKENIZER,
    WEIGHTS,
    candidates,
    is_published,
    model_directory,
    reference,
    run_folder,
    tokenizer_file,
)

__all__ = [
    "CHECKPOINTS",
    "CONFIG",
    "FILES",
    "MEANS",
    "TOKENIZER",
    "WEIGHTS",
    "candidates",
    "is_published",
    "model_directory",
    "reference",
    "run_folder",
    "tokenizer_file",
]
