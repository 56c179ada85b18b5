"""Labels and notes that a reader typed into a page and exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json

KIND, FORMAT = "sparsegpt2 notes", 1

Notes = dict[str, dict[str, dict[str, str]]]
"""Circuit name -> node id -> {label, note}."""


def read_notes(path: str | Path, circuits: list[str]) -> Notes:
    """Notes as a page exports them, of which at least one circuit is among `circuits`; else a `UserError`."""
    values = read_json(path, "notes file")
    if not isinstance(values, dict) or values.get("kind") != KIND or values.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a notes file of format {FORMAT}: export one from a page made by `sparsegpt2 view`"
        )
    notes = values.get("circuits")
    if not isinstance(notes, dict) or not all(map(_is_of_nodes, notes.values())):
        raise UserError(f'{path} must hold "circuits": {{name: {{node: {{"label": text, "note": text}}}}}}')
    if notes and not set(notes) & set(circuits):
        raise UserError(f"{path} has notes of {_listed(notes)}, and none of {_listed(circuits)}")
    return notes


def _is_of_nodes(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(entry, dict)
        and set(entry) <= {"label", "note"}
        and all(isinstance(text, str) for text in entry.values())
        for entry in value.values()
    )


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
