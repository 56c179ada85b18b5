"""From the bytes of a file to text: decompression by content, the encoding, line ends."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError

CHUNK = 2**20
"""Bytes that are read at a time."""
COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".xz": "xz", ".bz2": "bz2"}
"""Suffix -> compression. Whether a file is compressed is decided by its content. The suffixes are only used to find the
suffix before them, such as `.jsonl` in `a.jsonl.gz`."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is the beginning of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. These encodings remove the mark."""
WESTERN = "cp1252"
"""How bytes that are not UTF-8 are read, if that looks like text: Latin-1, as Windows extends it."""
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""Characters that text does not hold. Tabs, line ends, form feeds and escapes are allowed."""
MOST_WESTERN, MOST_ODD = 0.3, 0.01
"""`MOST_WESTERN`: largest share of bytes above 127 in what is read as Latin-1. `MOST_ODD`: largest share of undecodable
and control characters in any text."""


def compression_of(head: bytes) -> str:
    """The compression of a file that begins with these bytes; empty for none."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    return "bz2" if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head) else ""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The content of a file as a binary stream with `read(size)`, decompressed if it is compressed.

    `UserError` for a file that is damaged or cannot be read, also if this shows only while the block reads it.
    """
    import bz2
    import gzip
    import lzma
    import zlib

    try:
        with path.open("rb") as plain:
            kind = compression_of(plain.read(16))
            plain.seek(0)
            if kind == "zstd":
                import pyarrow

                with pyarrow.input_stream(plain, compression="zstd") as stream:
                    yield stream
            elif kind:
                opener: Any = {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}[kind]
                with opener(plain) as stream:
                    yield stream
            else:
                yield plain
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path} cannot be read: its compressed content is damaged or cut off ({error})") from None
    except OSError as error:
        reason = (error.strerror or "").lower() or f"its compressed content is damaged or cut off ({error})"
        raise UserError(f"{path} cannot be read: {' '.join(reason.split())[:200]}") from None


def encoding_of(head: bytes, *, whole: bool) -> str:
    """The encoding of text that begins with these bytes: a name that Python knows; empty if they are not text.

    whole: whether the text ends after these bytes. If it goes on, they may end within a character.
    """
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding if _is_text(codecs.getincrementaldecoder(encoding)("replace").decode(head)) else ""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head, whole)
        return "utf-8" if _is_text(text) else _utf_16(head)
    except UnicodeDecodeError:
        pass
    if encoding := _utf_16(head):
        return encoding
    text = head.decode("utf-8", errors="replace")
    letters = sum(character > "\x7f" for character in text) - text.count("\ufffd")
    if letters > text.count("\ufffd") and _is_text(text):
        return "utf-8"  # with a few odd bytes; Latin-1 would make two wrong letters of each letter beyond ASCII
    high = sum(byte > 127 for byte in head)
    western = high <= MOST_WESTERN * len(head) and _is_text(head.decode(WESTERN, errors="replace"))
    return WESTERN if western else ""


def _utf_16(head: bytes) -> str:
    """`utf-16-le` or `utf-16-be` for UTF-16 without a mark, in which Western text has a zero in every other byte."""
    half = max(1, len(head) // 2)
    for encoding, zeros, others in (("utf-16-le", head[1::2], head[::2]), ("utf-16-be", head[::2], head[1::2])):
        if zeros.count(0) > max(7, 0.4 * half) and others.count(0) < 0.01 * half:
            text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
            if _is_text(text):
                return encoding
    return ""


def _is_text(text: str) -> bool:
    """Whether text has no zero character, and few control and undecodable characters."""
    odd = sum(1 for _ in CONTROL.finditer(text)) + text.count("\ufffd")
    return "\x00" not in text and odd <= MOST_ODD * len(text)


class Decoded:
    """The text of a binary stream, in pieces, and what was found out about the text while it was read."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.encoding = ""
        """Known once the first piece has been read; empty if the content is not text."""
        self.odd = False
        """Whether bytes that the encoding does not know became U+FFFD."""

    def pieces(self) -> Iterator[str]:
        """The text in pieces of about `CHUNK` characters, with `\\n` as the only line end; nothing if it is no text."""
        head = read(self.stream, CHUNK)
        self.encoding = encoding_of(head, whole=len(head) < CHUNK)
        if not self.encoding:
            return
        decoder = codecs.getincrementaldecoder(self.encoding)()
        plain, carriage = True, ""
        while True:
            state, last = decoder.getstate(), not head
            try:
                text = decoder.decode(head, last)
            except UnicodeDecodeError:
                rest = state[0] + head
                if plain and self.encoding.startswith("utf-8") and encoding_of(rest, whole=True) == WESTERN:
                    self.encoding = WESTERN  # what came before is ASCII, the same in both encodings
                    decoder = codecs.getincrementaldecoder(WESTERN)("replace")
                    text = decoder.decode(rest, last)
                else:
                    self.odd = True
                    decoder = codecs.getincrementaldecoder(self.encoding)("replace")
                    decoder.setstate(state)
                    text = decoder.decode(head, last)
            plain = plain and text.isascii()
            text = carriage + text
            carriage = "\r" if text.endswith("\r") and not last else ""  # its line feed may come with the next piece
            text = text.removesuffix(carriage) if carriage else text
            if text:
                yield text.replace("\r\n", "\n").replace("\r", "\n")
            if last:
                return
            head = read(self.stream, CHUNK)

    def lines(self) -> Iterator[str]:
        """The lines of the text, with their line ends, however long they are."""
        begun: list[str] = []
        for piece in self.pieces():
            *whole, rest = piece.split("\n")
            for line in whole:
                yield "".join([*begun, line, "\n"])
                begun = []
            begun.append(rest)
        if line := "".join(begun):
            yield line


def read(stream: Any, size: int) -> bytes:
    """`size` bytes of a stream; fewer only at its end."""
    parts, left = [], size
    while left:
        part = stream.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def well_formed(text: str) -> str:
    """The text with U+FFFD for half a surrogate pair, which JSON can hold and UTF-8 cannot."""
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
