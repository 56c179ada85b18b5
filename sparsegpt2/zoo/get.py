"""Fetch a zoo model that is not in the package, from a release folder on this machine or on the network."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen
from zipfile import BadZipFile, ZipFile

from sparsegpt2.errors import UserError
from sparsegpt2.files import replacing_directory
from sparsegpt2.locate import zoo
from sparsegpt2.zoo.export import KIND
from sparsegpt2.zoo.release import archive_name

ADDRESS = "SPARSEGPT2_ZOO"
"""Environment variable with the address of a release: a folder, or an address that begins with file://, http:// or
https://."""
SECONDS, CHUNK, SPARE = 30, 1 << 20, 1 << 16
"""`SECONDS`: time limit of the network. `CHUNK`: number of bytes that are read at a time. `SPARE`: number of bytes by
which an archive may be larger than the files in it."""


def get(name: str, address: str = "") -> Path:
    """Fetch the model `name` into the user's cache, unless it is already on this machine. Returns its folder.

    address: the release; by default the value of the environment variable `ADDRESS`. Every file is checked against the
    checksum in the package's index before the folder gets its final name. Any failure is a `UserError`, and leaves no
    files behind.
    """
    name = zoo.known(name)
    found = zoo.here(name)
    if found is not None:
        return found
    address = address or os.environ.get(ADDRESS, "")
    if not address:
        raise UserError(
            f"{name} must be fetched from a release: give the folder or address of the release with --from or in "
            f"{ADDRESS}; a clone of the repository has all models"
        )
    files, target = zoo.index()[name]["files"], zoo.cached(name)
    source = f"{address.rstrip('/')}/{archive_name(name)}"
    try:
        with tempfile.TemporaryFile() as archive:
            _copy(source, archive, sum(file["bytes"] for file in files.values()) + SPARE)
            with replacing_directory(target, KIND) as folder:
                _unpack(archive, name, files, folder, source)
    except OSError as error:  # while writing; errors of reading are handled in _copy
        raise UserError(f"{name} cannot be written to {target.parent}: {error.strerror or error}") from None
    return target


def _copy(source: str, archive: IO[bytes], most: int) -> None:
    """Copy the file at the address `source` into `archive`; `UserError` if it is longer than `most` bytes."""
    scheme, separator, _ = source.partition("://")
    if separator and scheme not in ("file", "http", "https"):
        raise UserError(f"{source} cannot be fetched: a release is a folder or a file://, http:// or https:// address")
    try:
        if not separator and Path(source).exists() and not Path(source).is_file():
            raise UserError(f"{source} cannot be read: it is a folder, a pipe or a device, not a file")
        with urlopen(source, timeout=SECONDS) if separator else Path(source).open("rb") as reader:
            while chunk := reader.read(CHUNK):
                most -= len(chunk)
                if most < 0:
                    raise UserError(
                        f"{source} is larger than the model that this version of sparsegpt2 expects, so it comes from "
                        "another version"
                    )
                archive.write(chunk)
    except HTTPError as error:
        raise UserError(f"{source} cannot be fetched: the server answers {error.code} {error.reason}") from None
    except URLError as error:
        raise UserError(f"{source} cannot be fetched: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror or error}") from None
    except (HTTPException, ValueError) as error:  # the connection ended early, or the address is invalid
        raise UserError(f"{source} cannot be fetched: {type(error).__name__} {error}") from None


def _unpack(archive: IO[bytes], name: str, files: dict[str, Any], folder: Path, source: str) -> None:
    """Write the files that the index lists, after checking their checksums. Other files in the archive are ignored."""
    try:
        with ZipFile(archive) as members:
            for file, expected in files.items():
                with members.open(f"{name}/{file}") as member:
                    content = member.read(expected["bytes"] + 1)
                if hashlib.sha256(content).hexdigest() != expected["sha256"]:
                    raise UserError(f"{source} is damaged or of another version: {file} has the wrong checksum")
                (folder / file).write_bytes(content)
    except UserError:
        raise
    except (BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise UserError(f"{source} is damaged or not an archive of a model ({str(error).strip(chr(39))})") from None
