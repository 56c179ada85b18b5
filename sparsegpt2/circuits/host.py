"""The host and the device: whether the host can read a device's numbers for free, and how often to read if it cannot.

`.item()`, `bool(tensor)`, `nonzero` and similar calls make the host wait until a GPU has finished all its queued work.
A training step makes no such call; whatever decides shapes and branches is kept on the host from the start.
"""

from __future__ import annotations

import torch

LOOK_EVERY = 10
"""Training steps between two reads of a run's numbers from a GPU."""


def looks_are_free(device: torch.device) -> bool:
    """Whether the host can read a value from `device` without waiting."""
    return device.type == "cpu"


def look_every(device: torch.device) -> int:
    """Training steps between two reads of tensors on `device`."""
    return 1 if looks_are_free(device) else LOOK_EVERY
