"""tinypython: simple, repetitive Python programs made from a seed."""

from __future__ import annotations

import random

from train.corpus.tinypython.program import Program
from train.corpus.tinypython.units import program_lines


def document(seed: int, index: int, source: random.Random | None = None) -> str:
    """Program `index` of `seed`. `source` is reseeded and used, to save making one for each program."""
    source = source or random.Random()
    source.seed((seed << 40) | index)
    return "\n".join(program_lines(Program(source))) + "\n"
