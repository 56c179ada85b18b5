"""Choose which documents are held out, before anything is tokenized. Even of a lone document a part is held out."""

from __future__ import annotations

from collections.abc import Iterator

GOLDEN, WHOLE = 0x9E3779B97F4A7C15, 2**64
"""The fractional part of the golden ratio, and the number 1, both in units of 1 / 2**64."""
LOOK = 2**24
"""Largest size in bytes of what is called the beginning of a corpus. Something must be held out in the beginning."""
LEAST, LITTLE = 2**13, 2**11
"""These decide how many bytes of the beginning of a corpus should be held out. It is a tenth of them, but at most
`LEAST`. If a tenth is less than `LITTLE`, it is `LITTLE` instead, but at most a quarter of the beginning."""

Split = tuple[str, str]
"""("train" or "held_out", text)."""


def split_documents(documents: Iterator[str], share: float, tokens: int) -> Iterator[Split]:
    """Each document with its split; of a lone document, or of a few large ones, the end of one is held out.

    Document i is held out if i times the golden ratio, modulo 1, is below `share`. These numbers are spread evenly, so
    held-out documents are too.

    Something must be held out in the beginning of the corpus. The beginning has about `tokens` bytes, but at most about
    `LOOK`. (So many bytes never give more than `tokens` tokens.) See `LEAST` for how many bytes of the beginning should
    be held out. If the rule above holds out less than half as many, more documents of the beginning are held out, in
    the order of i times the golden ratio, modulo 1, smallest first. Documents with more than a quarter of the bytes of
    the beginning are passed over.

    share: share of the documents to hold out, above 0 and below 1. tokens: number of tokens that the caller wants for
    the train split. The caller stops reading when it has them.
    """
    first: list[str] = []
    size = held_out = 0
    while size < min(tokens, LOOK) and held_out < LEAST:
        text = next(documents, None)
        if text is None:
            break
        first.append(text)
        size += _size(text) + 1  # and an end of text
        held_out += _size(text) if _place(len(first)) < share else 0
    yield from _split_beginning(first, share)
    for number, text in enumerate(documents, start=len(first) + 1):
        yield ("held_out" if _place(number) < share else "train"), text


def _split_beginning(texts: list[str], share: float) -> Iterator[Split]:
    sizes = [_size(text) for text in texts]
    size = sum(sizes)
    held_out = {at for at in range(len(texts)) if _place(at + 1) < share}
    if len(held_out) == len(texts):
        held_out.clear()
    enough, found = min(LEAST, max(size // 10, min(LITTLE, size // 4))), sum(sizes[at] for at in held_out)
    missing = max(enough, int(share * size)) - found
    if found < enough / 2:
        for at in sorted(set(range(len(texts))) - held_out, key=lambda at: _place(at + 1)):
            if missing > 0 and sizes[at] <= size // 4 and len(held_out) < len(texts) - 1:
                held_out.add(at)
                missing -= sizes[at]
    cut = max(range(len(texts)), key=lambda at: sizes[at]) if texts and not held_out else None
    for at, text in enumerate(texts):
        if at == cut:
            middle = _cut(text, max(1, len(text) * missing // sizes[at]))
            yield "held_out", text[middle:]  # first, because the caller may stop after the train part
            if middle:
                yield "train", text[:middle]
        else:
            yield ("held_out" if at in held_out else "train"), text


def _place(number: int) -> float:
    """`number` (of a document, from 1) times the golden ratio, modulo 1."""
    return number * GOLDEN % WHOLE / WHOLE


def _cut(text: str, end: int) -> int:
    """Where to cut a text so that about its last `end` characters are held out.

    The cut is after the first line end in the first half of these characters. Without a line end there, it is after the
    first space in that half, and without a space it is before the first of these characters.
    """
    begin = len(text) - end
    for sign in ("\n", " "):
        if (at := text.find(sign, begin, begin + end // 2)) >= 0:
            return at + 1
    return begin


def _size(text: str) -> int:
    """Number of bytes of a text in UTF-8."""
    return len(text.encode("utf-8", errors="replace"))


def first_of(splits: Iterator[Split], needed: int) -> dict[str, int]:
    """Split -> number of its bytes, with one more for each document's end of text.

    Counting stops when both splits have `needed`.

    A text never has more tokens than bytes. So a split with fewer than `needed` bytes is too small for `needed` tokens,
    and a long corpus is not read to its end.
    """
    found = {"train": 0, "held_out": 0}
    for split, text in splits:
        found[split] += _size(text) + 1
        if min(found.values()) >= needed:
            break
    return found
