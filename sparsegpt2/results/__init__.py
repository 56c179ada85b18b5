"""Benchmark rows on disk: reading, writing, averaging, and where each row came from."""
