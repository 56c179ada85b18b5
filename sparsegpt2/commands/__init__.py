"""The commands, a file each. Only these files see training and tasks together."""
