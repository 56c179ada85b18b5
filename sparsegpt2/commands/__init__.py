"""The commands of the program `sparsegpt2`. Only files in this folder import both `train` and `eval_tasks`."""

from sparsegpt2.siblings import claim

claim()
