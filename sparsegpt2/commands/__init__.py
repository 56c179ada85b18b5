"""The commands, a file each. Only these files see training and tasks together."""

from sparsegpt2.siblings import claim

claim()
