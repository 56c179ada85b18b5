"""Tensors in safetensors files, plain or compact. A file's header is checked before anything is read or allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from sparsegpt2.errors import UserError
from sparsegpt2.model import compact
from sparsegpt2.plain import require_file

SPARE, EACH_BYTE = 1 << 25, 64
"""A file of n bytes may ask for memory for `SPARE` + `EACH_BYTE` * n numbers. Our models ask for fewer than 4 for each
byte. The limit is needed because a small compact file (model/compact.py) can ask for any number of zeros."""
LIMIT = "SPARSEGPT2_MOST_NUMBERS"
"""Environment variable with a higher limit, in numbers, for models that really have so many zeros."""


class TensorFile(Mapping[str, Tensor]):
    """The tensors of a safetensors file by name, each read when it is asked for.

    `shapes` is known without reading any of them. `UserError` for a missing or damaged file, and for one that asks for
    more memory than its size justifies.
    """

    def __init__(self, path: Path) -> None:
        require_file(path, "checkpoint file")
        self.path = path
        try:
            self._file = safe_open(path, framework="pt")
            parts = {name: self._file.get_slice(name) for name in self._file.keys()}  # noqa: SIM118 (not a dict)
            stored = {name: tuple(part.get_shape()) for name, part in parts.items()}
            metadata = self._file.metadata() or {}
        except Exception as error:  # besides SafetensorError, errors of the file system, of memory maps and of dtypes
            raise self._damaged(error) from None
        self.forms = compact.forms(stored, metadata, str(path))
        """Name -> (form, shape) of each tensor."""
        self.shapes = {name: shape for name, (_, shape) in self.forms.items()}
        check_size(sum(map(math.prod, self.shapes.values())), path.stat().st_size, str(path))

    def __getitem__(self, name: str) -> Tensor:
        form, shape = self.forms[name]
        try:
            parts = [self._file.get_tensor(name + suffix) for suffix in compact.PARTS[form]]
        except Exception as error:
            raise self._damaged(error) from None
        return compact.from_parts(form, parts, shape, f"{self.path}: {name}")

    def __iter__(self) -> Iterator[str]:
        return iter(self.forms)

    def __len__(self) -> int:
        return len(self.forms)

    def _damaged(self, error: Exception) -> UserError:
        reason = " ".join(str(error).split())[:200]
        return UserError(f"checkpoint file {self.path} is damaged or truncated ({reason}); write it again")


def read_tensors(path: Path) -> TensorFile:
    """The tensors of a safetensors file, plain or compact; `UserError` for a missing or damaged file."""
    return TensorFile(path)


def check_size(count: int, size: int, source: str) -> None:
    """`UserError` if `count` numbers in memory are out of all proportion to the `size` of their file in bytes."""
    most = SPARE + EACH_BYTE * size
    given = os.environ.get(LIMIT, "")
    if count > (max(most, int(given)) if given.isdecimal() else most):
        raise UserError(
            f"{source} has {size:,} bytes, but asks for {count:,} numbers in memory, more than {most:,}; "
            f"if that is right, set the environment variable {LIMIT} to {count}"
        )


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape."""
    if isinstance(tensors, TensorFile):
        return tensors.shapes
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(wanted: Mapping[str, Sequence[int]], found: Mapping[str, Sequence[int]], source: str) -> None:
    """`UserError` that names the first tensor that is missing, not wanted, or of another shape."""
    for name in sorted(set(wanted) ^ set(found)):
        problem = "lacks the tensor" if name in wanted else "has the unexpected tensor"
        raise UserError(f"{source} {problem} {name!r}; it does not belong to this config")
    for name, shape in wanted.items():
        if tuple(shape) != tuple(found[name]):
            raise UserError(f"{source}: {name} has shape {list(found[name])}, but the config needs {list(shape)}")


@torch.no_grad()
def load_into(target: Mapping[str, Tensor], values: Mapping[str, Tensor], source: str) -> None:
    """Copy `values` into `target`; `UserError` unless names and shapes are equal and `values` are floating-point."""
    check_shapes(shapes_of(target), shapes_of(values), source)
    for name, tensor in target.items():
        value = values[name]
        if not value.is_floating_point() or value.layout != torch.strided or value.is_meta:
            kind = str(value.dtype).removeprefix("torch.")
            dense = value.layout == torch.strided and not value.is_meta
            found = f"of dtype {kind}" if dense else "sparse or without values"
            raise UserError(f"{source}: {name} is {found}; it must hold plain floating-point numbers")
        tensor.copy_(value)
