"""Write token ids to shards: files of uint16, each of whole documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SHARD_TOKENS = 2**26
"""Once a shard has this many tokens (128 MiB), the next document starts a new one."""


class ShardWriter:
    """Writes the documents of one split to shards, and counts tokens, documents and bytes."""

    def __init__(self, directory: Path, split: str, end_of_text: int) -> None:
        self.directory, self.split = directory, split
        self.end_of_text = np.array([end_of_text], dtype="<u2")
        self.tokens = self.documents = self.bytes = 0
        self.shards: list[dict[str, Any]] = []
        self._file: Any = None

    def add(self, ids: list[int], size: int) -> None:
        """Append one document: its token ids, and its size in bytes of UTF-8."""
        if self._file is None or self.shards[-1]["tokens"] >= SHARD_TOKENS:
            self._open()
        self._file.write(self.end_of_text)
        self._file.write(np.array(ids, dtype="<u2"))
        self.shards[-1]["tokens"] += 1 + len(ids)
        self.tokens += 1 + len(ids)
        self.documents += 1
        self.bytes += size

    def _open(self) -> None:
        if self._file is not None:
            self._file.close()
        name = f"{self.split}-{len(self.shards):05d}.bin"
        self._file = open(self.directory / name, "wb")  # noqa: SIM115 (closed by the next _open or finish)
        self.shards.append({"file": name, "tokens": 0})

    def finish(self) -> dict[str, Any]:
        """Close the last shard, and return the split's entry in the manifest."""
        if self._file is not None:
            self._file.close()
        counts = {"tokens": self.tokens, "documents": self.documents, "bytes": self.bytes}
        return {**counts, "shards": self.shards}
