"""The checks of a faithfulness report, one in each file. `registry.py` finds them."""
