"""The corpus `tinypython`: an endless series of simple, idiomatic, deliberately repetitive Python programs."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from importlib.resources import files
from itertools import count

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.base import CorpusConfig, corpus
from sparsegpt2.text.corpus.tinypython.program import Program
from sparsegpt2.text.corpus.tinypython.programs import program_lines


def document(seed: int, index: int, source: random.Random | None = None) -> str:
    """Program number `index` of `seed`. It depends on these two numbers only.

    source: a generator to reseed and use, which is faster than a new one for each program. Only `Random.random` is
    called, whose numbers for an integer seed are the same in every version of Python.
    """
    source = source or random.Random()
    source.seed((seed << 40) | index)
    return "\n".join(program_lines(Program(source))) + "\n"


@corpus("tinypython")
class TinyPython:
    """The corpus: programs 0, 1, 2, ... of a seed, without end."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config

    def documents(self, seed: int) -> Iterator[str]:
        if seed < 0:
            raise UserError(f"the seed of tinypython is {seed}; it must not be negative")
        source = random.Random()
        for index in count():
            yield document(seed, index, source)

    def identity(self) -> str:
        """Hash of the generator's own source files."""
        digest = hashlib.sha256()
        for file in sorted(files(__package__).iterdir(), key=lambda file: file.name):
            if file.name.endswith((".py", ".txt")):
                digest.update(file.read_bytes())
        return digest.hexdigest()
