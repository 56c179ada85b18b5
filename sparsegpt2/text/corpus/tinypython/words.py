"""The vocabulary of tinypython, read from words.txt at import."""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple


class Thing(NamedTuple):
    """A noun that programs are about: its singular, its plural, and the kind of one (text, number or object)."""

    one: str
    many: str
    kind: str


class Field(NamedTuple):
    """An attribute of objects, and the kind of its value (text, number, list or flag)."""

    name: str
    kind: str


def _sections() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in files(__package__).joinpath("words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]").partition(":")[0], [])
        elif line and not line.startswith("#"):
            lines.append(line)
    return sections


_SECTIONS = _sections()


def _words(section: str) -> tuple[str, ...]:
    return tuple(word for line in _SECTIONS[section] for word in line.split())


def _lines(section: str) -> tuple[str, ...]:
    return tuple(_SECTIONS[section])


THINGS = tuple(Thing(*line.split()) for line in _lines("things"))
FIELDS = tuple(Field(*line.split()) for line in _lines("fields"))
NUMBERS = _words("numbers")
NAMES = {
    "number": NUMBERS,
    "text": _words("texts"),
    "flag": _words("flags"),
    "holder": _words("holders"),
    "index": _words("indices"),
}
"""Names by kind. A holder is a set, text, list or dict that a loop fills."""
DIGITS = _words("digits")
HELPERS = _words("helpers")
VERBS = _words("verbs")
COLLECTING = _words("collecting")
ASKING = _words("asking")
COMPUTING = _words("computing")
PEOPLE = _words("people")
WORDS = _words("words")
PAIRS = tuple(tuple(line.split()) for line in _lines("pairs"))
LABELS = _words("labels")
MESSAGES = _lines("messages")
SENTENCES = _lines("sentences")
QUESTIONS = _lines("questions")
SOURCES = _words("sources")
TARGETS = _words("targets")
SOURCE_PATHS = _words("source_paths")
TARGET_PATHS = _words("target_paths")
