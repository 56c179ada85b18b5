"""Scripts that make the tables and figures in docs/results from results."""
