"""Tensors out of `.pt` files: pickles, which can run code when read. Only tensors are taken, and nothing is run."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from sparsegpt2.errors import UserError

REFUSED = ("Unsupported", "GLOBAL", "Trying to", "Can only")
"""Parts of torch's sentences about a pickle that asks for more than tensors; the others are about damage."""


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a `.pt` file by name. Nothing in it is run: a file that holds more than tensors is a `UserError`."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint file {path} does not exist")
    try:
        with warnings.catch_warnings():  # of old pickle protocols: the reader takes them or refuses
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        if any(sign in reason for sign in REFUSED):
            raise UserError(
                f"checkpoint file {path} holds code or objects, not only tensors; it was refused and nothing was run"
            ) from None
        raise UserError(f"checkpoint file {path} is damaged or truncated; fetch it again") from None
    except Exception as error:  # torch raises many kinds for damaged archives, OSError and KeyError among them
        raise UserError(
            f"checkpoint file {path} is damaged or truncated ({type(error).__name__}); fetch it again"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UserError(f"checkpoint file {path} is not a state dict: it must map names to tensors")
    return state
