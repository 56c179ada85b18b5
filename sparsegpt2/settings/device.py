"""The torch device of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sparsegpt2.errors import UserError

if TYPE_CHECKING:
    import torch

DEVICE_HELP = "cpu, cuda, cuda:1, or auto: a GPU if there is one."


def torch_device(name: str = "auto") -> torch.device:
    """The torch device of that name; `auto` is CUDA if there is a GPU, else the CPU.

    `UserError` for a device that does not exist, or that torch cannot use on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"there is no device {name!r}; give auto, cpu, cuda or cuda:1") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"--device {name} needs a GPU, and torch finds none here; give --device auto or cpu")
    try:
        torch.zeros(1, device=device).item()  # `.item()` also fails on devices without values, such as meta
    except Exception as error:  # RuntimeError, AssertionError or ImportError, depending on the kind of device
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"torch cannot use the device {name!r} here: {reason}") from None
    return device
