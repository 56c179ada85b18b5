"""The choices that one program has made, and the names that each of its blocks can use."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from sparsegpt2.text.corpus.tinypython import words
from sparsegpt2.text.corpus.tinypython.words import Field, Thing

T = TypeVar("T")

PADS = tuple(" " * (4 * depth) for depth in range(8))
"""Indentation by depth."""


VARIETY = {"number": 7, "text": 5, "flag": 4, "holder": 5, "index": 2}
"""How many names of each kind one program uses."""

FULL = 45
"""Number of lines after which a program opens no more nested blocks."""


def plain(thing: Thing) -> Thing:
    """The thing as a number if it would be an object: a program without a class for it has no such objects."""
    return thing._replace(kind="number") if thing.kind == "object" else thing


class Function(NamedTuple):
    """A function that the program has defined: its name, its parameters as (name, kind), and the kind it returns."""

    name: str
    parameters: list[tuple[str, str]]
    returns: str


class Program:
    """A document that is being written: its random numbers, its subject, its definitions and its lines."""

    __slots__ = ("asked", "class_name", "digits", "fields", "functions", "labels", "lines", "methods", "names",
                 "quote_style", "random", "taken", "thing", "things", "words")  # fmt: skip

    def __init__(self, source: random.Random) -> None:
        self.random = source.random
        self.lines: list[str] = []
        self.quote_style = self.pick(("'", "'", '"', '"', ""))  # empty: each statement chooses its own
        self.things = [plain(self.pick(words.THINGS)) for _ in range(3)]
        self.thing = self.things[0]
        if self.random() < 0.4:
            self.thing = self.things[0] = self.thing._replace(kind="object")  # there will be a class for it
        # The names and words of this program: only a few of the vocabulary, so that they recur.
        self.names = {kind: self.some(words.NAMES[kind], count) for kind, count in VARIETY.items()}
        self.words = self.some(words.WORDS, 6) if self.random() < 0.7 else self.some(words.PEOPLE, 6)
        self.labels = self.some(words.LABELS, 3)
        self.digits = self.some(words.DIGITS, 6)
        self.fields: list[Field] = self.some(words.FIELDS, 3 + int(self.random() * 3))
        self.functions: list[Function] = []
        self.class_name = self.thing.one.capitalize() if self.thing.kind == "object" else ""
        self.methods: list[Function] = []
        self.taken: set[str] = set()
        self.asked = ""  # the last condition, which the next one should differ from

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def recent(self, names: Sequence[T]) -> T:
        """One of the names. Later ones are likelier, because programs tend to use what they have just defined."""
        return names[-1 - int(self.random() * self.random() * len(names))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options, in random order."""
        random, size = self.random, len(options)
        chosen: list[T] = []
        while len(chosen) < count:
            option = options[int(random() * size)]
            if option not in chosen:
                chosen.append(option)
        return chosen

    def quote(self) -> str:
        return self.quote_style or ("'" if self.random() < 0.5 else '"')

    def quoted(self, text: str) -> str:
        quote = self.quote_style or ("'" if self.random() < 0.5 else '"')
        return f"{quote}{text}{quote}"


class Scope:
    """The names that a block can use, by kind. `mark` and `reset` remove the names of an inner block when it ends."""

    __slots__ = ("elements", "fixed", "flags", "holders", "lists", "numbers", "objects", "optional", "tables", "texts",
                 "used")  # fmt: skip

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.texts: list[str] = []
        self.flags: list[str] = []
        self.objects: list[str] = []
        self.lists: list[tuple[str, Thing]] = []
        self.holders: list[tuple[str, str]] = []  # (name, kind: set, text, list, count or dict), filled in loops
        self.elements: list[tuple[str, str]] = []  # (name, kind) of the enclosing loops, innermost last
        self.optional: list[str] = []  # parameters that may be None
        self.tables: list[tuple[str, str, str]] = []  # (dict, a key of it, kind of its values)
        self.fixed: set[str] = set()  # loop variables, which only their loop may change
        self.used: set[str] = set()

    def mark(self) -> tuple[int, ...]:
        return (len(self.numbers), len(self.texts), len(self.flags), len(self.objects),
                len(self.lists), len(self.holders), len(self.elements), len(self.tables))  # fmt: skip

    def reset(self, mark: tuple[int, ...]) -> None:
        numbers, texts, flags, objects, lists, holders, elements, tables = mark
        del self.numbers[numbers:], self.texts[texts:], self.flags[flags:], self.objects[objects:]
        del self.lists[lists:], self.holders[holders:], self.elements[elements:], self.tables[tables:]

    def add(self, name: str, kind: str) -> None:
        """Add a name of a kind: number, text, flag or object."""
        self.used.add(name)
        if kind == "number":
            self.numbers.append(name)
        elif kind == "text":
            self.texts.append(name)
        elif kind == "flag":
            self.flags.append(name)
        else:
            self.objects.append(name)

    def add_list(self, name: str, thing: Thing) -> None:
        self.used.add(name)
        self.lists.append((name, thing))


def fresh(program: Program, scope: Scope, kind: str) -> str:
    """A name for a number, text, flag, holder or index that the scope does not use yet, if one is found.

    The program's own names are tried before the rest of the vocabulary.
    """
    for options in (program.names[kind], words.NAMES[kind]):
        for _ in range(5):
            name = program.pick(options)
            if kind not in ("index", "flag") and program.random() < 0.06:
                name = f"{program.thing.one}_{name}"
            if name not in scope.used:
                return name
    return name


def fresh_list(program: Program, scope: Scope) -> Thing:
    """A thing whose plural the scope does not use yet, if one is found; mostly one of the program's own subjects."""
    thing = program.pick(program.things)
    for _ in range(6):
        if thing.many not in scope.used:
            break
        thing = plain(program.pick(words.THINGS))
    return thing
