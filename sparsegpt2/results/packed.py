"""Packed rows: the rows of a results folder in `results.jsonl.gz`, which has a tenth of the size of `results.jsonl`.

A folder may have both files. Readers take the packed rows first. Writers append to `results.jsonl` only.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import replacing

PACKED = "results.jsonl.gz"
"""Name of the packed file inside a results folder."""
MOST = 200
"""Largest ratio of unpacked to packed bytes. Rows pack to about a tenth; a file that grows more is no results file."""


def unpacked(path: Path) -> bytes:
    """The content of a packed file; `UserError` if it is damaged or would fill the memory."""
    limit = MOST * path.stat().st_size
    try:
        with gzip.open(path) as file:
            data = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be unpacked ({error}); copy it again, or pack its rows again") from None
    if len(data) > limit:
        raise UserError(f"{path} unpacks to more than {MOST} times its size, so it is not a results file")
    return data


def write_packed(path: Path, data: bytes) -> None:
    """Write `data` packed; the same data give the same bytes."""
    with replacing(path) as temporary:
        temporary.write_bytes(gzip.compress(data, compresslevel=9, mtime=0))
