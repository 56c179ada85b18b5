"""Files whose documents are fields of records: JSON lines, JSON arrays, CSV and parquet, and which field has the text.

Rows are read one at a time. JSON is read by Python's own module, because the JSON reader of pyarrow crashes on some
inputs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.text.files.decode import COMPRESSED, Decoded, opened

FORMATS = {
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
    ".ipynb": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""Suffix -> the format of records."""
PARQUET = b"PAR1"
"""The first bytes of a parquet file."""
USUAL = ("text", "content", "code", "body", "document")
"""Names of the field with the text, in the order in which they are looked for."""
LOOKED_AT = 100
"""Rows that are read to find out which fields there are."""


class NotRecords(Exception):
    """A .json file that holds something other than records with text, such as settings."""


def inner_suffix(path: Path) -> str:
    """The suffix of a file without that of its compression, in lower case: `.jsonl` for `a.JSONL.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def format_of(path: Path, head: bytes, text: str) -> str:
    """`json`, `csv` or `parquet`; empty for a file that is one text.

    head: the first bytes of the file's content, decompressed. text: these bytes as text; empty if they are not text.
    """
    if head.startswith(PARQUET):
        return "parquet"
    suffix = inner_suffix(path)
    if suffix in ("", ".txt") and _has_text(text.lstrip().split("\n", 1)[0]):
        return "json"
    return FORMATS.get(suffix, "")


def _has_text(line: str) -> bool:
    """Whether a line is a JSON record with one of the usual fields of text."""
    row = _parsed(line) if line.startswith("{") else None
    return isinstance(row, dict) and any(isinstance(row.get(name), str) for name in USUAL)


def text_column(path: Path, kind: str, wanted: str) -> tuple[str, list[str]]:
    """(the field that holds the text, all fields) of a file; the first is empty if no field holds the text.

    wanted: the field that the settings name. The default, `text`, stands for all the names in `USUAL`.
    """
    names = list(dict.fromkeys(_fields(path, kind)))
    if wanted in names:
        return wanted, names
    usual = USUAL if wanted == USUAL[0] else ()
    return next((known for name in usual for known in names if known.lower() == name), ""), names


def _fields(path: Path, kind: str) -> Iterator[str]:
    """The names of the fields of a file. A name may come several times."""
    if kind == "parquet":
        with _parquet(path) as table:
            yield from table.schema_arrow.names
    else:
        yield from chain.from_iterable(islice(rows(path, kind), LOOKED_AT))


def rows(path: Path, kind: str, column: str = "") -> Iterator[dict[str, Any]]:
    """The records of a file, whose format is `kind`. column: the one field that is needed; empty for all.

    `UserError` for a file that is not what its name says; `NotRecords` for a .json file of something else.
    """
    if kind == "parquet":
        return _parquet_rows(path, column)
    return _csv_rows(path) if kind == "csv" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with opened(path) as stream:
        lines = enumerate(Decoded(stream).lines(), start=1)
        filled = ((number, line) for number, line in lines if line.strip())
        begin = list(islice(filled, 2))
        if inner_suffix(path) in (".json", ".ipynb") and not (
            len(begin) == 2 and isinstance(_parsed(begin[0][1]), dict)
        ):  # not a record in each line, but one value
            value = _parsed("".join(line for _, line in chain(begin, filled)))
            records = value if isinstance(value, list) else [value]
            if not records or not all(isinstance(record, dict) for record in records):
                raise NotRecords
            yield from records
            return
        for number, line in chain(begin, filled):
            record = _parsed(line)
            if not isinstance(record, dict):
                raise UserError(f'{path} cannot be read: line {number} is not a JSON record such as {{"text": "..."}}')
            yield record


def _parsed(text: str) -> Any:
    """The value of a JSON text; None if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(2**31 - 1)  # documents are longer than the usual limit
    with opened(path) as stream:
        lines = Decoded(stream).lines()
        header = next((line for line in lines if line.strip()), "")
        separator = "\t" if inner_suffix(path) == ".tsv" else max(",;\t|", key=header.count)
        try:
            table = csv.reader(chain([header], lines), delimiter=separator)
            names = [name.strip() for name in next(table, [])]
            for row in table:
                if row:
                    yield dict(zip(names, row, strict=False))
        except csv.Error as error:
            raise UserError(f"{path} cannot be read: row {table.line_num} is not CSV ({error})") from None


def _parquet_rows(path: Path, column: str) -> Iterator[dict[str, Any]]:
    with _parquet(path) as table:
        for batch in table.iter_batches(batch_size=256, columns=[column] if column else None):
            yield from batch.to_pylist()


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """An open parquet file; `UserError` if it is damaged, also inside the block."""
    import pyarrow.parquet

    with opened(path) as stream:
        compressed = not isinstance(stream, io.BufferedReader)  # parquet is read from its end, so unpack it all
        content = io.BytesIO(stream.read()) if compressed else stream
        try:
            yield pyarrow.parquet.ParquetFile(content)
        except Exception as error:  # pyarrow raises many kinds
            if isinstance(error, OSError) and error.errno:
                raise
            reason = " ".join(str(error).split())[:150]
            raise UserError(f"{path} cannot be read: it is not a parquet file, or damaged ({reason})") from None
