"""Mix several streams of documents: by weight, by size, and by shuffling within a buffer."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

ROWS, CHARACTERS = 1_000, 2**22
"""The buffer for shuffling is full when it has this many documents, or this many characters."""


def interleave(streams: Sequence[tuple[Iterator[str], float]]) -> Iterator[str]:
    """The documents of (stream, weight) pairs, each stream in its own order.

    The next document always comes from the stream that has given the fewest UTF-8 bytes for its weight. So each stream
    always has about its share of the bytes so far. A stream that ends leaves the mixture.
    """
    given = [0.0] * len(streams)  # bytes divided by weight
    running = list(range(len(streams)))
    while running:
        behind = min(running, key=given.__getitem__)
        stream, weight = streams[behind]
        text = next(stream, None)
        if text is None:
            running.remove(behind)
            continue
        given[behind] += len(text.encode("utf-8", errors="replace")) / weight
        yield text


def shuffled(texts: Iterable[str], seed: str) -> Iterator[str]:
    """The texts, shuffled within a buffer, in an order that depends only on them and on `seed`."""
    draw = random.Random(seed)
    buffer: list[str] = []
    held = 0
    for text in texts:
        buffer.append(text)
        held += len(text)
        while len(buffer) > ROWS or (held > CHARACTERS and len(buffer) > 1):
            at = draw.randrange(len(buffer))
            buffer[at], buffer[-1] = buffer[-1], buffer[at]
            held -= len(buffer[-1])
            yield buffer.pop()
    draw.shuffle(buffer)
    yield from buffer
