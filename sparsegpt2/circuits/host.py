"""The host and the device: when a look at a device's numbers is free, and how often to look where it is not.

`.item()`, `bool(tensor)`, `nonzero` and their like make the host wait until a GPU has done all it was given. A training
step does none of that; what it needs to know of shapes and branches is kept on the host from the start.
"""

from __future__ import annotations

import torch

LOOK_EVERY = 10
"""Steps between two looks of the host at what a training on a GPU leaves on the device."""


def looks_are_free(device: torch.device) -> bool:
    """Whether reading a value from `device` makes nobody wait."""
    return device.type == "cpu"


def look_every(device: torch.device) -> int:
    """Steps between two looks at tensors on `device`."""
    return 1 if looks_are_free(device) else LOOK_EVERY
