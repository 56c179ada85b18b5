"""Sparse optimisation: projection, its schedule, the optimiser, and statistics."""

from sparsegpt2.sparsity.project import project_, project_model_

__all__ = ["project_", "project_model_"]
