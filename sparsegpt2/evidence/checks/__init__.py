"""The checks of a faithfulness report, a file each; see `registry.py`."""
