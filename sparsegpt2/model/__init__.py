"""The model, its sites and its files."""
