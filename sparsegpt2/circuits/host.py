"""When the host (the CPU) reads numbers from the device that computes.

`.item()`, `bool(tensor)`, `nonzero` and similar calls make the host wait until a GPU has finished all its queued work.
A training step makes no such call. The values that decide the shapes of its tensors and the branches of its code are
kept on the host from the start.
"""

from __future__ import annotations

import torch

LOOK_EVERY = 10
"""Number of training steps between two reads of a training run's losses and numbers of open gates from a GPU."""


def looks_are_free(device: torch.device) -> bool:
    """Whether the host can read a value from `device` without waiting."""
    return device.type == "cpu"


def look_every(device: torch.device) -> int:
    """Number of training steps between two reads of tensors on `device`."""
    return 1 if looks_are_free(device) else LOOK_EVERY
