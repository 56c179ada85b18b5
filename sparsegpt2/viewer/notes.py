"""Read a file of labels and notes that were typed into a page and exported from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json

KIND, FORMAT = "sparsegpt2 notes", 1

Notes = dict[str, dict[str, dict[str, str]]]
"""Circuit name -> node id -> {label, note}."""


def read_notes(path: str | Path, circuits: list[str]) -> Notes:
    """The labels and notes in a file that was exported from a page.

    circuits: names of the circuits on the page that is to show the notes. `UserError` if the file is not an exported
    one, or if it has notes but none on these circuits.
    """
    values = read_json(path, "notes file")
    if not isinstance(values, dict) or values.get("kind") != KIND or values.get("format") != FORMAT:
        raise UserError(
            f"{path} is not a notes file of format {FORMAT}; export one from a page made by `sparsegpt2 view`"
        )
    notes = values.get("circuits")
    if not isinstance(notes, dict) or not all(map(_is_of_nodes, notes.values())):
        raise UserError(f'{path} must hold "circuits": {{name: {{node: {{"label": text, "note": text}}}}}}')
    if notes and not set(notes) & set(circuits):
        raise UserError(f"{path} has notes on {_listed(notes)}, but none on {_listed(circuits)}")
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
