"""Tasks in English, one a file, for tokenizers with its words."""
