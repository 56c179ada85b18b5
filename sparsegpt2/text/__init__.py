"""From text to tokens: corpora, tokenizers, prepared data, and windows of tokens."""
