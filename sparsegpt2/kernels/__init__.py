"""Fast paths, each next to its plain torch reference. The device of the tensors decides which one runs."""
