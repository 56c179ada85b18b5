"""Reading tensors from `.pt` files. They are pickles, which could run code; here only tensors are read."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from sparsegpt2.errors import UserError

REFUSED = ("Unsupported", "GLOBAL", "Trying to", "Can only")
"""Parts of torch's messages about a pickle with more than tensors; its other messages are about damage."""


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Name -> tensor of a `.pt` file, on the CPU. No code in it is run; `UserError` if it has more than tensors.

    The numbers stay in the file until they are used, so a file cannot ask for more memory than it has bytes.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"checkpoint file {path} does not exist")
    records = _records(path)
    try:
        with warnings.catch_warnings():  # about old pickle protocols, which torch reads or refuses
            warnings.simplefilter("ignore")
            # Without an archive torch asks the file for as many bytes as a length in it says. In memory it gets only
            # those that are there.
            source = path if records else io.BytesIO(path.read_bytes())
            state = torch.load(source, map_location="cpu", weights_only=True, mmap=bool(records))
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
    for name, tensor in state.items():
        _check_stored(tensor, records, f"{path}: {name}")
    return dict(state)


def _records(path: Path) -> set[int]:
    """The sizes of the records in the file's archive; empty for a file of torch before 1.6, which is no archive.

    `UserError` for a damaged archive and for a compressed one, which torch never writes.
    """
    if not is_zipfile(path):
        return set()
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
            if any(member.compress_type != ZIP_STORED for member in members):
                raise UserError(f"checkpoint file {path} is compressed; save it again with torch.save")
            wrong = archive.testzip()  # torch does not look at the archive's checksums
    except UserError:
        raise
    except (BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"checkpoint file {path} is damaged or truncated ({error}); download it again") from None
    if wrong is not None:
        raise UserError(f"checkpoint file {path} is damaged: the checksum of {wrong} is wrong; download it again")
    return {member.file_size for member in members}


def _check_stored(tensor: Tensor, records: set[int], source: str) -> None:
    """`UserError` unless each entry of the tensor has its own bytes, all in one record of the file."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UserError(
            f"{source} is sparse, quantized or without values (dtype {kind}); it must hold plain floating-point numbers"
        )
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > held or (records and held not in records):
        raise UserError(
            f"{source} has the shape {list(tensor.shape)}, for which the file stores too few numbers; download it again"
        )
