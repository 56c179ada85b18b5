"""Find damaged files by their checksums, which are in a JSON file in the same folder. That file has its own checksum.

Hashing is about as fast as reading from RAM, and each process hashes a file only once. `skip` (the flag `--no_verify`)
turns the checks off, for models so large that the time matters.
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
"""Key under which a JSON object has its own checksum."""
FILES = "files"
"""Key of a JSON object under which the checksums of other files in its folder are listed."""
SETTLED = 2.0
"""A file's hash is remembered only if the file was last written more than this many seconds ago. Only then is a later
write certain to change the file's modification time."""

_known: dict[tuple[int, ...], str] = {}
_skipped = False


def skip() -> None:
    """Turn all checks off for the rest of this process."""
    global _skipped
    _skipped = True


def skipped() -> bool:
    """Whether the checks are off."""
    return _skipped


def checksums(directory: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The entries for `FILES`: name -> {"bytes", "sha256"} of the files called `names` in `directory`."""
    return {name: {"bytes": (directory / name).stat().st_size, "sha256": digest(directory / name)} for name in names}


def digest(path: Path) -> str:
    """sha256 of a file, in hex. Each process computes it once for a file that does not change."""
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
    """`UserError` that names the first file of `directory` that differs from its entry in `listed` (see `checksums`).

    listed: what the file `source` lists; None for a folder of an earlier version, which has no checksums.
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
            raise UserError(f"{path} is missing, but {source} lists it; restore it, or write the folder again")
        if path.stat().st_size != size:
            raise UserError(
                f"{path} has {path.stat().st_size} bytes, but {source} says {size}: it is damaged; write it again"
            )
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter lock, so threads do run in parallel
        found = dict(zip(expected, pool.map(lambda name: digest(directory / name), expected), strict=True))
    for name, (_, sha) in expected.items():
        if found[name] != sha:
            raise UserError(
                f"{directory / name} is damaged: its sha256 is not the one in {source}; write the folder again "
                "(or add --no_verify to read it as it is)"
            )


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the JSON object with its own checksum added."""
    return {**values, SEAL: _seal(values)}


def check_seal(values: Mapping[str, Any], source: Path) -> None:
    """`UserError` if a JSON object has changed since `sealed` made it. Objects of earlier versions have no checksum."""
    if (SEAL in values or FILES in values) and not _skipped and values.get(SEAL) != _seal(values):
        raise UserError(
            f"{source} was changed or damaged after it was written: its checksum differs; write it again "
            "(or add --no_verify to read it as it is)"
        )


def _seal(values: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in values.items() if key != SEAL}, sort_keys=True)
    return sha256(text.encode()).hexdigest()
