"""Reading tensors from `.pt` files. They are pickles, which could run code; here only tensors are read."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor

from sparsegpt2.errors import UserError

REFUSED = ("Unsupported", "GLOBAL", "Trying to", "Can only")
"""Parts of torch's messages about a pickle with more than tensors; its other messages are about damage."""


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor of a `.pt` file, on the CPU. No code in it is run; `UserError` if it has more than tensors."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint file {path} does not exist")
    try:
        with warnings.catch_warnings():  # about old pickle protocols, which torch reads or refuses
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        if any(sign in reason for sign in REFUSED):
            raise UserError(
                f"checkpoint file {path} contains code or objects, not only tensors; it was refused and no code was run"
            ) from None
        raise UserError(f"checkpoint file {path} is damaged or truncated; download it again") from None
    except Exception as error:  # for damaged archives torch raises many kinds, including OSError and KeyError
        raise UserError(
            f"checkpoint file {path} is damaged or truncated ({type(error).__name__}); download it again"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise UserError(f"checkpoint file {path} is not a state dict: it must map names to tensors")
    return state
