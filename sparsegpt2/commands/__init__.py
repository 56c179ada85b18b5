"""The commands, one file each. Only these files import both `train` and `eval_tasks`."""

from sparsegpt2.siblings import claim

claim()
