"""The corpus `stdlib`: real code, the Python sources of the running interpreter's standard library."""

from __future__ import annotations

import random
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.base import CorpusConfig, corpus

LARGEST = 200_000
"""Bytes. Larger sources are mostly tables and generated code, and are left out."""


@corpus("stdlib")
class Stdlib:
    """The standard library's .py files and, with `site_packages`, those of installed packages, in a seeded order."""

    def __init__(self, config: CorpusConfig) -> None:
        self.library = Path(sysconfig.get_path("stdlib"))
        self.site_packages = Path(sysconfig.get_path("purelib")) if config.site_packages else None

    def paths(self) -> list[Path]:
        """The sources, sorted, so that their order in `documents` depends only on the seed."""
        paths = [path for path in self.library.rglob("*.py") if "site-packages" not in path.parts]
        if self.site_packages is not None:
            paths += self.site_packages.rglob("*.py")
        if not paths:
            raise UserError(f"corpus stdlib found no Python sources in {self.library}")
        return sorted(paths)

    def documents(self, seed: int) -> Iterator[str]:
        paths = self.paths()
        random.Random(seed).shuffle(paths)
        for path in paths:
            text = read_source(path)
            if text:
                yield text

    def identity(self) -> str:
        return f"{sys.version} {self.library} {self.site_packages} {len(self.paths())}"


def read_source(path: Path) -> str | None:
    """The text of a source; None if it is empty, too large, unreadable or not UTF-8."""
    try:
        if path.stat().st_size > LARGEST:
            return None
        return path.read_text(encoding="utf-8") or None
    except (OSError, UnicodeDecodeError):
        return None
