"""The numbers of README and docs, written from committed results. `python -m studies.pages` does it; see `__main__`."""
