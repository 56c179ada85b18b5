"""Fetching a model of the zoo that did not come with the package, from a release folder here or on the network."""

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
"""Environment variable with the address of a release: a folder, or one of file://, http:// and https://."""
SECONDS, CHUNK, SPARE = 30, 1 << 20, 1 << 16


def get(name: str, address: str = "") -> Path:
    """Fetch the model `name` into the user's cache, unless it is on this machine; its folder.

    address: of the release, by default what `ADDRESS` holds. Every file is compared with the checksum in the package's
    index before the folder takes its name; whatever goes wrong is a `UserError`, and nothing is left behind.
    """
    name = zoo.known(name)
    found = zoo.here(name)
    if found is not None:
        return found
    address = address or os.environ.get(ADDRESS, "")
    if not address:
        raise UserError(
            f"{name} can be fetched from a release: give its folder or address with --from, or in {ADDRESS}; "
            f"a clone of the repository has all models"
        )
    files, target = zoo.index()[name]["files"], zoo.cached(name)
    source = f"{address.rstrip('/')}/{archive_name(name)}"
    try:
        with tempfile.TemporaryFile() as archive:
            _copy(source, archive, sum(file["bytes"] for file in files.values()) + SPARE)
            with replacing_directory(target, KIND) as folder:
                _unpack(archive, name, files, folder, source)
    except OSError as error:  # those of the source are told in _copy
        raise UserError(f"{name} cannot be put into {target.parent}: {error.strerror or error}") from None
    return target


def _copy(source: str, archive: IO[bytes], most: int) -> None:
    """Copy what is at `source` into `archive`, at most so many bytes."""
    scheme, separator, _ = source.partition("://")
    if separator and scheme not in ("file", "http", "https"):
        raise UserError(f"{source} cannot be fetched: a release is a folder, or at file://, http:// or https://")
    try:
        with urlopen(source, timeout=SECONDS) if separator else Path(source).open("rb") as reader:
            while chunk := reader.read(CHUNK):
                most -= len(chunk)
                if most < 0:
                    raise UserError(f"{source} is larger than the model it should hold; it is not of this version")
                archive.write(chunk)
    except HTTPError as error:
        raise UserError(f"{source} cannot be fetched: the server answers {error.code} {error.reason}") from None
    except URLError as error:
        raise UserError(f"{source} cannot be fetched: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{source} cannot be read: {error.strerror or error}") from None
    except (HTTPException, ValueError) as error:  # a connection that ends early, an address that is none
        raise UserError(f"{source} cannot be fetched: {type(error).__name__} {error}") from None


def _unpack(archive: IO[bytes], name: str, files: dict[str, Any], folder: Path, source: str) -> None:
    """Write the listed files, and no other that the archive may hold, each with the checksum that the index says."""
    try:
        with ZipFile(archive) as members:
            for file, expected in files.items():
                with members.open(f"{name}/{file}") as member:
                    content = member.read(expected["bytes"] + 1)
                if hashlib.sha256(content).hexdigest() != expected["sha256"]:
                    raise UserError(f"{source} is damaged or of another version: its {file} has another checksum")
                (folder / file).write_bytes(content)
    except (BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{source} is damaged or no archive of a model ({str(error).strip(chr(39))})") from None
