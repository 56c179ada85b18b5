"""Words in, tokens out: corpora, tokenizers, prepared data, and windows of it."""
