"""Compiled loops for the CPU. Each is a fast path; its plain torch reference is in `sparsegpt2.kernels`."""
