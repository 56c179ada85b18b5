"""Find models, runs and tokenizers that a user or a file refers to by a path, `zoo:NAME` or `hf:user/name`."""

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
