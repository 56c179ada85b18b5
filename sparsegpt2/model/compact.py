"""Weights without their zeros: a compact layout of a safetensors file, which `load_model` also reads.

The file's metadata holds `layout` ("sparsegpt2 compact 1") and `tensors`, a JSON object: name -> {"form", "shape"}. A
tensor [rows, columns] (a vector is one row) is stored in the form that takes the fewest bytes:

    dense    NAME          the tensor as it is
    rows     NAME.rows     [R] the rows that are not all zero, in ascending order
             NAME.values   [R, columns] those rows
    entries  NAME.counts   [rows] how many entries of each row are nonzero
             NAME.columns  [N] their columns, row by row, ascending within each row
             NAME.values   [N]

Indices have the smallest type that fits: uint8, uint16 or uint32. Values are stored as bfloat16 if that rounds none of
the tensor's values, else unchanged. So a tensor that is read equals the one that was written, except that a negative
zero comes back as zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from sparsegpt2.config import require
from sparsegpt2.errors import UserError

LAYOUT, LAYOUT_KEY, TENSORS_KEY = "sparsegpt2 compact 1", "layout", "tensors"
PARTS = {"dense": ("",), "rows": (".rows", ".values"), "entries": (".counts", ".columns", ".values")}
"""Form -> suffixes of the tensors that are stored for one tensor."""


def encode(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors to store, and the file's metadata. `tensors` must be on the CPU."""
    stored: dict[str, Tensor] = {}
    forms: dict[str, dict[str, str | list[int]]] = {}
    for name, tensor in tensors.items():
        form, parts = min(_ways_to_store(tensor.detach()).items(), key=lambda way: _bytes(way[1]))
        forms[name] = {"form": form, "shape": list(tensor.shape)}
        stored |= {name + suffix: part.contiguous() for suffix, part in zip(PARTS[form], parts, strict=True)}
    return stored, {LAYOUT_KEY: LAYOUT, TENSORS_KEY: json.dumps(forms)}


def decode(stored: Mapping[str, Tensor], metadata: Mapping[str, str], source: str) -> dict[str, Tensor]:
    """The tensors that `encode` was given; `stored` itself if the metadata names no layout.

    `UserError`, beginning with `source`, for a layout of another version, a missing or extra part, and indices that are
    out of range, out of order or repeated.
    """
    if LAYOUT_KEY not in metadata:
        return dict(stored)
    forms = _forms(metadata, source)
    wanted = {name + suffix: name for name, (form, _) in forms.items() for suffix in PARTS[form]}
    for part in sorted(set(wanted) ^ set(stored)):
        problem = "lacks" if part in wanted else "has the unexpected tensor"
        raise UserError(f"{source} {problem} {part!r}, so it does not match its own list of tensors; write it again")
    tensors = {}
    for name, (form, shape) in forms.items():
        parts = [stored[name + suffix] for suffix in PARTS[form]]
        if form == "dense":
            tensors[name] = parts[0]
        else:
            read = _from_rows if form == "rows" else _from_entries
            tensors[name] = read(parts, *_rows_and_columns(shape), f"{source}: {name}").view(shape)
    return tensors


def is_compact(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file with these metadata is in this layout."""
    return metadata.get(LAYOUT_KEY) == LAYOUT


# --- Writing --------------------------------------------------------------------------------------------------------


def _ways_to_store(tensor: Tensor) -> dict[str, list[Tensor]]:
    """Form -> the parts of a tensor. Only floating-point matrices and vectors have forms other than dense."""
    if not tensor.is_floating_point():
        return {"dense": [tensor]}
    rounded = tensor.to(torch.bfloat16)
    exact = rounded if torch.equal(rounded.to(tensor.dtype), tensor) else tensor
    if tensor.dim() not in (1, 2):
        return {"dense": [exact]}
    rows, columns = _rows_and_columns(list(tensor.shape))
    table = exact.view(rows, columns) if exact.is_contiguous() else exact.reshape(rows, columns)
    present = table != 0  # [rows, columns]
    filled = present.any(dim=1).nonzero()[:, 0]
    counts, where = present.sum(dim=1), present.nonzero()
    return {
        "dense": [exact],
        "rows": [_small(filled, rows), table[filled]],
        "entries": [_small(counts, columns + 1), _small(where[:, 1], columns), table[present]],
    }


def _small(indices: Tensor, bound: int) -> Tensor:
    """Indices in the smallest type that holds every number below `bound`."""
    dtype = torch.uint8 if bound <= 1 << 8 else torch.uint16 if bound <= 1 << 16 else torch.uint32
    return indices.to(dtype)


def _bytes(parts: list[Tensor]) -> int:
    return sum(part.numel() * part.element_size() for part in parts)


# --- Reading --------------------------------------------------------------------------------------------------------


def _forms(metadata: Mapping[str, str], source: str) -> dict[str, tuple[str, list[int]]]:
    """Name -> (form, shape), from the metadata."""
    require(is_compact(metadata), f"{source} has the layout {metadata[LAYOUT_KEY]!r}; this version reads {LAYOUT!r}")
    try:
        entries = json.loads(metadata[TENSORS_KEY])
        forms = {name: (entry["form"], [int(size) for size in entry["shape"]]) for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{source} has no readable list of its tensors ({type(error).__name__}: {error})") from None
    for name, (form, shape) in forms.items():
        require(form in PARTS, f"{source}: {name} has the unknown form {form!r}; known are {', '.join(PARTS)}")
        require(
            form == "dense" or (len(shape) in (1, 2) and min(shape) >= 0),
            f"{source}: {name} has the shape {shape}; only matrices and vectors are stored as {form}",
        )
    return forms


def _rows_and_columns(shape: list[int]) -> tuple[int, int]:
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _from_rows(parts: list[Tensor], rows: int, columns: int, source: str) -> Tensor:
    """[rows, columns] from the indices of its nonzero rows and the rows themselves."""
    numbers, values = _indices(parts[0], rows, "row", source), parts[1]
    _check_rising(numbers, "row", source)
    _check_values(values, [len(numbers), columns], source)
    return torch.zeros(rows, columns, dtype=values.dtype).index_copy_(0, numbers, values)


def _from_entries(parts: list[Tensor], rows: int, columns: int, source: str) -> Tensor:
    """[rows, columns] from the number of nonzero entries in each row, and their columns and values."""
    counts, found = _indices(parts[0], columns + 1, "count", source), _indices(parts[1], columns, "column", source)
    require(len(counts) == rows, f"{source} has {len(counts)} counts for {rows} rows; the file is damaged")
    require(
        int(counts.sum()) == len(found),
        f"{source} has {len(found)} columns, but its counts add up to {int(counts.sum())}; the file is damaged",
    )
    places = torch.arange(rows).repeat_interleave(counts) * columns + found
    _check_rising(places, "entry", source)
    _check_values(parts[2], [len(places)], source)
    return torch.zeros(rows * columns, dtype=parts[2].dtype).index_copy_(0, places, parts[2])


def _indices(part: Tensor, bound: int, what: str, source: str) -> Tensor:
    """`part` as int64 [N]; `UserError` unless its entries are indices from 0 to `bound` - 1."""
    require(
        part.dim() == 1 and not part.is_floating_point() and part.dtype != torch.bool,
        f"{source}: its {what} indices are not a list of whole numbers; the file is damaged",
    )
    indices = part.to(torch.int64)
    wrong = indices[(indices < 0) | (indices >= bound)]
    require(
        not len(wrong),
        f"{source} has the {what} index {int(wrong[0]) if len(wrong) else 0}, which must be below {bound}",
    )
    return indices


def _check_rising(places: Tensor, what: str, source: str) -> None:
    steps = places.diff()
    require(not bool((steps == 0).any()), f"{source} has one {what} twice; the file is damaged")
    require(not bool((steps < 0).any()), f"{source} has its {what} indices out of order; the file is damaged")


def _check_values(values: Tensor, shape: list[int], source: str) -> None:
    require(
        list(values.shape) == shape and values.is_floating_point(),
        f"{source} has values of shape {list(values.shape)}, but its indices need {shape} floating-point numbers",
    )
