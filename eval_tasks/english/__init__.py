"""Tasks in English, one per file, for tokenizers with English words."""
