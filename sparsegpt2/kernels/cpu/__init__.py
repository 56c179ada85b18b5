"""Compiled loops for the CPU, each a fast path beside its plain torch reference in `sparsegpt2.kernels`."""
