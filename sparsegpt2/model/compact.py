"""Weights without their zeros: a compact layout of a safetensors file, which `load_model` also reads.

The file's metadata holds `layout` ("sparsegpt2 compact 1") and `tensors`, a JSON object: name -> {"form", "shape"}. A
tensor [rows, columns] (a vector is one row) is stored in the form that takes the fewest bytes:

    dense    NAME          the tensor as it is
    rows     NAME.rows     [R] the indices of the R rows that are not all zero, in ascending order
             NAME.values   [R, columns] those rows
    entries  NAME.counts   [rows] how many entries of each row are nonzero
             NAME.columns  [N] the columns of the N nonzero entries, row by row, ascending within each row
             NAME.values   [N] the values of those entries

Indices have the smallest type that fits: uint8, uint16 or uint32. Values are stored as bfloat16 if that rounds none of
the tensor's values, else unchanged. So a tensor that is read equals the one that was written, except that a negative
zero comes back as zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

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


def forms(
    stored: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str], source: str
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (form, shape) of the tensors in a file, from its metadata and the shapes of what it stores.

    A file whose metadata names no layout has every tensor as it is. `UserError`, beginning with `source`, for a layout
    of another version, a missing or extra part, and parts whose shapes do not fit together.
    """
    if LAYOUT_KEY not in metadata:
        return {name: ("dense", shape) for name, shape in stored.items()}
    listed = _listed(metadata, source)
    wanted = {name + suffix: name for name, (form, _) in listed.items() for suffix in PARTS[form]}
    for part in sorted(set(wanted) ^ set(stored)):
        problem = "lacks" if part in wanted else "has the unexpected tensor"
        raise UserError(f"{source} {problem} {part!r}, so it does not match its own list of tensors; write it again")
    for name, (form, shape) in listed.items():
        _check_parts(form, [stored[name + suffix] for suffix in PARTS[form]], shape, f"{source}: {name}")
    return listed


def from_parts(form: str, parts: Sequence[Tensor], shape: tuple[int, ...], source: str) -> Tensor:
    """One tensor from its parts, which are in the order of `PARTS[form]` and have passed `forms`.

    `UserError`, beginning with `source`, for indices that are out of range, out of order or repeated.
    """
    if form == "dense":
        return parts[0]
    read = _from_rows if form == "rows" else _from_entries
    return read(parts, *_rows_and_columns(shape), source).view(shape)


def is_compact(metadata: Mapping[str, str]) -> bool:
    """Whether a safetensors file with this metadata is in this layout."""
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


def _listed(metadata: Mapping[str, str], source: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name -> (form, shape), from the metadata."""
    require(is_compact(metadata), f"{source} has the layout {metadata[LAYOUT_KEY]!r}; this version reads {LAYOUT!r}")
    try:
        entries = json.loads(metadata[TENSORS_KEY])
        listed = {name: (entry["form"], tuple(entry["shape"])) for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{source} has no readable list of its tensors ({type(error).__name__}: {error})") from None
    for name, (form, shape) in listed.items():
        known = isinstance(form, str) and form in PARTS
        require(known, f"{source}: {name} has the unknown form {form!r}; the forms are {', '.join(PARTS)}")
        whole = all(type(size) is int and 0 <= size < 1 << 63 for size in shape)
        require(whole, f"{source}: {name} has the shape {list(shape)}; sizes are whole numbers of 0 or more")
        require(
            form == "dense" or len(shape) in (1, 2),
            f"{source}: {name} has the shape {list(shape)}; only matrices and vectors are stored as {form}",
        )
    return listed


def _check_parts(form: str, parts: Sequence[tuple[int, ...]], shape: tuple[int, ...], source: str) -> None:
    """`UserError` unless parts of these shapes can make a tensor of this shape."""
    if form == "dense":
        require(parts[0] == shape, f"{source} has shape {list(parts[0])}, but its list of tensors says {list(shape)}")
        return
    rows, columns = _rows_and_columns(shape)
    indices, values = parts[0], parts[-1]
    if form == "rows":
        fits = len(indices) == 1 and indices[0] <= rows
        needed = [indices[0] if indices else 0, columns]
    else:
        found = indices[0] if len(indices) == 1 else list(indices)
        require(indices == (rows,), f"{source} has {found} counts for {rows} rows; the file is damaged")
        fits, needed = len(parts[1]) == 1, list(parts[1])
    require(fits, f"{source} has indices of shape {list(parts[-2])} for {rows} rows; the file is damaged")
    require(
        list(values) == needed,
        f"{source} has values of shape {list(values)}, but its indices need {needed}; the file is damaged",
    )


def _rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    return (1, shape[0]) if len(shape) == 1 else (shape[0], shape[1])


def _from_rows(parts: Sequence[Tensor], rows: int, columns: int, source: str) -> Tensor:
    """[rows, columns] from the indices of its nonzero rows and the rows themselves."""
    numbers, values = _indices(parts[0], rows, "row index", source), _floats(parts[1], source)
    _check_rising(numbers, "row", source)
    return torch.zeros(rows, columns, dtype=values.dtype).index_copy_(0, numbers, values)


def _from_entries(parts: Sequence[Tensor], rows: int, columns: int, source: str) -> Tensor:
    """[rows, columns] from the number of nonzero entries in each row, and their columns and values."""
    counts = _indices(parts[0], columns + 1, "count", source)
    found = _indices(parts[1], columns, "column index", source)
    values = _floats(parts[2], source)
    require(
        int(counts.sum()) == len(found),
        f"{source} has {len(found)} columns, but its counts add up to {int(counts.sum())}; the file is damaged",
    )
    places = torch.arange(rows).repeat_interleave(counts) * columns + found
    _check_rising(places, "entry", source)
    return torch.zeros(rows * columns, dtype=values.dtype).index_copy_(0, places, values)


def _indices(part: Tensor, bound: int, what: str, source: str) -> Tensor:
    """`part` as int64; `UserError` unless its entries are whole numbers from 0 to `bound` - 1.

    what: what one entry is, for the error.
    """
    require(
        not part.is_floating_point() and not part.is_complex() and part.dtype != torch.bool,
        f"{source}: each {what} must be a whole number; the file is damaged",
    )
    indices = part.to(torch.int64)
    wrong = indices[(indices < 0) | (indices >= bound)]
    require(
        not len(wrong),
        f"{source} has the {what} {int(wrong[0]) if len(wrong) else 0}, which must be 0 or more and below {bound}",
    )
    return indices


def _check_rising(places: Tensor, what: str, source: str) -> None:
    steps = places.diff()
    require(not bool((steps == 0).any()), f"{source} has one {what} twice; the file is damaged")
    require(not bool((steps < 0).any()), f"{source} has its {what} indices out of order; the file is damaged")


def _floats(values: Tensor, source: str) -> Tensor:
    kind = str(values.dtype).removeprefix("torch.")
    require(values.is_floating_point(), f"{source} has values of type {kind}; they must be floating-point numbers")
    return values
