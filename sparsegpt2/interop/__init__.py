"""Other people's models in, ours out: one file for each foreign format."""
