"""Scripts that make the tables and figures of docs/results from committed results."""
