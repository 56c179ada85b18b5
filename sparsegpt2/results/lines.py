"""A row as a line of JSON, read strictly. Field values that earlier versions wrote are translated."""

from __future__ import annotations

import json
from dataclasses import asdict

from sparsegpt2.errors import UserError
from sparsegpt2.plain import check_record, parse_json
from sparsegpt2.results.rows import Row

FORMER_STATUS = {"has not": "lacks the task"}
"""A status as earlier versions wrote it -> as it is written now. A row's identity does not depend on its status."""


def row_line(row: Row) -> str:
    """The row as one line of JSON, newline included; `ValueError` for NaN or infinity, which JSON cannot hold."""
    return json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) + "\n"


def parse_row(line: str, source: str) -> Row:
    """A row from its JSON. `source` (file and line) is the start of the message of any `UserError`."""
    try:
        values = parse_json(line, source)
    except UserError as error:
        raise UserError(f"{error}; if a benchmark was interrupted there, run it again to repair it") from None
    status = values.get("status") if isinstance(values, dict) else None
    if isinstance(status, str):
        values["status"] = FORMER_STATUS.get(status, status)
    values = check_record(Row, values, source)
    try:
        return Row(**values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
