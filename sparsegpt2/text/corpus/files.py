"""The corpus `files`: a user's own files, of any format and compression, one file or whole trees."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.base import CorpusConfig, corpus
from sparsegpt2.text.corpus.interleave import interleave, shuffled
from sparsegpt2.text.files.decode import MOST_ODD, WESTERN, Decoded, encoding_of, opened, read, well_formed
from sparsegpt2.text.files.find import find_files
from sparsegpt2.text.files.records import USUAL, NotRecords, format_of, inner_suffix, rows, text_column

AT_ONCE = 32
"""Number of files of records (jsonl, csv, parquet) that are read at the same time."""
LOOK = 2**16
"""Bytes at the beginning of a file that decide what it is."""
LONGEST = 2**26
"""Characters. A longer text is read in parts, each of them a document, so that it fits into RAM."""
READING = 2
"""Version of the code that reads files. It goes up when the same files give other documents than before, so that data
that were prepared earlier are not reused."""
LACKING, SETTINGS = "table without a field of text", "JSON file without records of text"
CUT_OUT = "left out, because only the beginning is text"
"""Reasons for which files are left out, in words for the user."""


@dataclass(frozen=True)
class Source:
    """A file that is read."""

    path: Path
    name: str
    """Path relative to the folder of the corpus."""
    size: int
    """Bytes on the disk."""
    format: str
    """`json`, `csv`, `parquet`; empty for a text."""
    column: str = ""
    """The field that holds the text."""


@corpus("files")
class Files:
    """Files: a text file is one document by default, and each row of a jsonl, csv or parquet file holds one."""

    def __init__(self, config: CorpusConfig) -> None:
        self.config = config
        if config.path is None:
            raise UserError("corpus files needs a path: a file, a folder, or a pattern such as src/**/*.py")
        self.found = find_files(config.path)
        self.odd: dict[str, dict[str, None]] = {}
        """What was noticed while files were read -> names of the files, as keys of a dict, which keeps their order."""

    def documents(self, seed: int) -> Iterator[str]:
        """Documents in an order that depends only on `seed` and on the names and contents of the files.

        Texts come in a shuffled order. Files of records are read at the same time as the texts, up to `AT_ONCE` of
        them at once. Each stream of documents advances in proportion to its size. So a reader that stops early has seen
        about the same share of each.
        """
        texts = [source for source in self.sources if not source.format]
        tables = [source for source in self.sources if source.format]
        random.Random(seed).shuffle(texts)
        random.Random(seed).shuffle(tables)
        streams = [(self._texts(texts), texts)]
        for begin in range(AT_ONCE):
            chained = tables[begin::AT_ONCE]
            streams.append((chain.from_iterable(self._records(source, seed) for source in chained), chained))
        return interleave([(stream, sum(source.size for source in of)) for stream, of in streams if of])

    def identity(self) -> str:
        """A text that changes with the names, sizes and times of change of the files that may be read."""
        states = [(self.found.name(path), path.stat()) for path in self.found.files]
        return "\n".join([f"files {READING}", *(f"{name} {one.st_size} {one.st_mtime_ns}" for name, one in states)])

    def notes(self) -> list[str]:
        """Lines for the user: what is read, what is left out and why, and what was odd in files read so far."""
        texts = sum(not source.format for source in self.sources)
        kinds = [f"{texts} as text"] if texts else []
        for format, what in (("json", "of JSON records"), ("csv", "of CSV"), ("parquet", "of parquet")):
            if count := sum(source.format == format for source in self.sources):
                kinds.append(f"{count} {what}")
        path, total = self.config.path, len(self.sources)
        lines = [f"{path}: reads {total} file{'s' * (total != 1)} ({', '.join(kinds)})"]
        if self.found.left_out:
            lines[0] += f"; leaves out {self._left_out()}"
        lines += [f"{path}: {what}: {_some('file', list(names))}" for what, names in sorted(self.odd.items())]
        return lines

    def _left_out(self) -> str:
        return ", ".join(_some(reason, names) for reason, names in sorted(self.found.left_out.items()))

    # --- What the files are -----------------------------------------------------------------------------------------

    @cached_property
    def sources(self) -> list[Source]:
        """The files that are read, sorted by name. Each is opened once to see what it is.

        `UserError` if nothing can be read. `UserError` also if the tables without a field of text have more bytes than
        all files that can be read, because then the tables are probably what the user wants to read.
        """
        found, lacking, lost = [], "", 0
        alone = Path(self.config.path or "").expanduser().is_file()
        for path in self.found.files:
            source, reason, sentence = self._source(path)
            if source is not None:
                found.append(source)
            elif alone:
                raise UserError(f"corpus files: {path} {sentence}")
            else:
                self.found.leave_out(reason, path)
                if reason == LACKING:
                    lacking, lost = lacking or f"{path} {sentence}", lost + path.stat().st_size
        if lost > sum(source.size for source in found):
            raise UserError(f"corpus files: {lacking}, or name only the files to read: '{self.config.path}/**/*.txt'")
        if not found:
            left = f"; left out: {self._left_out()}" if self.found.left_out else ""
            raise UserError(f"corpus files: {self.config.path} holds no file with text{left}")
        return found

    def _source(self, path: Path) -> tuple[Source | None, str, str]:
        """(the source, "", "") for a file that is read.

        For a file that is left out: (None, the reason in words that fit several files, the reason as the end of a
        sentence about this file).
        """
        try:
            path.open("rb").close()
        except PermissionError:
            return None, "unreadable file", "cannot be read: permission denied"
        with opened(path) as stream:
            head = read(stream, LOOK)
        encoding = encoding_of(head, whole=len(head) < LOOK)
        text = head.decode(encoding, errors="replace") if encoding else ""
        if not head or (encoding and len(head) < LOOK and not text.strip()):
            return None, "empty file", "is empty"
        format = format_of(path, head, text)
        if not encoding and format != "parquet":
            unknown = "is not text, or in an encoding other than UTF-8, UTF-16 and Latin-1"
            return None, "binary or undecodable file", unknown
        source = Source(path, self.found.name(path), path.stat().st_size, format)
        if not format:
            return source, "", ""
        try:
            column, columns = text_column(path, format, self.config.text_field)
        except NotRecords:
            return None, SETTINGS, "is not a list of JSON records with a field of text"
        if column:
            return replace(source, column=column), "", ""
        reason = SETTINGS if inner_suffix(path) in (".json", ".ipynb") else LACKING
        return None, reason, _lacks(columns, self.config.text_field)

    # --- What is in them --------------------------------------------------------------------------------------------

    def _texts(self, sources: list[Source]) -> Iterator[str]:
        for source in sources:
            with opened(source.path) as stream:
                decoded = Decoded(stream)
                for text in _parts(decoded.pieces()):
                    if self._fits(source, decoded, text):
                        yield from _units(text, self.config.sample_by)
                if not decoded.encoding:
                    self._note(CUT_OUT, source)

    def _fits(self, source: Source, decoded: Decoded, text: str) -> bool:
        """Whether `text`, a part of a file, can be used. The encoding was found from the beginning of the file alone.

        If the part has too many characters that are not text, it cannot, and the user is told. The user is also told if
        the file is not UTF-8.
        """
        wrong = text.count("\ufffd") + text.count("\x00")
        if decoded.odd and wrong > MOST_ODD * len(text):
            self._note(CUT_OUT, source)
            return False
        if decoded.encoding == WESTERN:
            self._note("read as Latin-1 (Windows-1252), because it is not UTF-8", source)
        elif decoded.odd:
            self._note("bytes that are not text became U+FFFD", source)
        return bool(text)

    def _records(self, source: Source, seed: int) -> Iterator[str]:
        def texts() -> Iterator[str]:
            for row in rows(source.path, source.format, source.column):
                text = row.get(source.column)
                if isinstance(text, str) and text:
                    yield well_formed(text)
                else:
                    self._note(f"rows without text in the field {source.column!r} are skipped", source)

        return shuffled(texts(), f"{seed} {source.name}")

    def _note(self, what: str, source: Source) -> None:
        self.odd.setdefault(what, {})[source.name] = None


def _parts(pieces: Iterator[str]) -> Iterator[str]:
    """The whole text; in parts of about `LONGEST` characters that end with a line if it is longer."""
    begun: list[str] = []
    length = 0
    for piece in pieces:
        begun.append(piece)
        length += len(piece)
        if length >= LONGEST:
            text = "".join(begun)
            end = text.rfind("\n") + 1 or len(text)
            yield text[:end]
            begun, length = [text[end:]], len(text) - end
    if text := "".join(begun):
        yield text


def _units(text: str, sample_by: str) -> Iterator[str]:
    """The documents in a text: the whole text, its paragraphs or its lines, as `sample_by` says."""
    units = [text] if sample_by == "document" else text.split("\n\n" if sample_by == "paragraph" else "\n")
    return (unit for unit in units if unit)


def _lacks(columns: list[str], wanted: str) -> str:
    """The end of a sentence about a file that lacks the field `wanted`. columns: the fields that it has."""
    looked_for = " or ".join(USUAL) if wanted == USUAL[0] else repr(wanted)
    if not columns:
        return "has no fields, and so no text; give files with text"
    there = ", ".join(columns[:12]) + (", ..." if len(columns) > 12 else "")
    return f"has no field {looked_for}, but {there}; name the one with the text: --data.text_field NAME"


def _some(what: str, names: list[str]) -> str:
    """How many there are, and the first name: `3 hidden files (such as .env)`."""
    if len(names) == 1:
        return f"1 {what} ({names[0]})"
    plural = re.sub(r"\b(file|folder|environment|cache|link|table)\b", r"\1s", what)
    return f"{len(names)} {plural} (such as {names[0]})"
