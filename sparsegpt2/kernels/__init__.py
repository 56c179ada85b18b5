"""Fast versions of single operations, each next to its plain torch reference. The device of the tensors selects one."""
