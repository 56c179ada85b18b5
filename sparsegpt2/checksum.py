"""Checksums of files, kept in a JSON file beside them, and of that JSON file itself: a flipped bit is told by name.

Hashing takes about as long as reading from memory, and a file is hashed once a process. `skip` (the flag `--no_verify`)
leaves the checks out, for models so large that it matters.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError

SEAL = "sha256"
"""Key of a JSON object's own checksum."""
FILES = "files"
"""Key of the checksums of the files beside it."""
SETTLED = 2.0
"""Seconds since a file was written after which another write of it is sure to have another time."""

_known: dict[tuple[int, ...], str] = {}
_skipped = False


def skip() -> None:
    """Check nothing any more in this process."""
    global _skipped
    _skipped = True


def checksums(directory: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """name -> {"bytes", "sha256"} of files in `directory`, to be kept beside them."""
    return {name: {"bytes": (directory / name).stat().st_size, "sha256": digest(directory / name)} for name in names}


def digest(path: Path) -> str:
    """sha256 (hex) of a file, computed once a process for a file that does not change."""
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if key in _known:
            return _known[key]
        result = file_digest(file, "sha256").hexdigest()
        if time.time() - found.st_mtime > SETTLED:
            _known[key] = result
        return result


def check_files(directory: Path, listed: Any, source: Path) -> None:
    """`UserError` naming the first file of `directory` that is not as `listed` (see `checksums`) in `source` says.

    listed: None for a folder of an earlier version, which has no checksums.
    """
    if listed is None or _skipped:
        return
    try:
        expected = {str(name): (int(one["bytes"]), str(one["sha256"])) for name, one in listed.items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UserError(f"{source} has no readable list of checksums; it is damaged") from None
    for name, (size, _) in expected.items():
        path = directory / name
        if Path(name).name != name or not path.is_file():
            raise UserError(f"{path} is missing, which {source} lists; bring it back, or write the folder again")
        if path.stat().st_size != size:
            raise UserError(
                f"{path} has {path.stat().st_size} bytes where {source} says {size}: it is damaged; write it again"
            )
    with ThreadPoolExecutor() as pool:  # hashing needs no interpreter lock
        found = dict(zip(expected, pool.map(lambda name: digest(directory / name), expected), strict=True))
    for name, (_, sha) in expected.items():
        if found[name] != sha:
            raise UserError(
                f"{directory / name} is damaged: its sha256 is not the one in {source}; write the folder again "
                "(or add --no_verify to read it as it is)"
            )


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object with its own checksum."""
    return {**values, SEAL: _seal(values)}


def check_seal(values: Mapping[str, Any], source: Path) -> None:
    """`UserError` if a JSON object is not what `sealed` gave; one without any checksums is of an earlier version."""
    if (SEAL in values or FILES in values) and not _skipped and values.get(SEAL) != _seal(values):
        raise UserError(
            f"{source} was changed or damaged after it was written: its checksum differs; write it again "
            "(or add --no_verify to read it as it is)"
        )


def _seal(values: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in values.items() if key != SEAL}, sort_keys=True)
    return sha256(text.encode()).hexdigest()
