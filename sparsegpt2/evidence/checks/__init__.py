"""The checks of a faithfulness report, one per file; see `registry.py`."""
