"""What one program has settled on, and which names a block of it can use."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from train.corpus.tinypython import words
from train.corpus.tinypython.words import Field, Thing

T = TypeVar("T")

PADS = tuple(" " * (4 * depth) for depth in range(8))
"""Indentation by depth."""


class Function(NamedTuple):
    """A function the program has defined: its name, its parameters as (name, kind), and what it returns."""

    name: str
    parameters: list[tuple[str, str]]
    returns: str


class Program:
    """One document being written: its random numbers, its subject, what it has defined, and its lines."""

    __slots__ = ("classes", "fields", "functions", "lines", "quote_style", "random", "taken", "thing", "things")

    def __init__(self, source: random.Random) -> None:
        self.random = source.random
        self.lines: list[str] = []
        self.quote_style = self.pick(("'", "'", '"', '"', ""))  # empty: each statement picks its own
        self.things = [self.pick(words.THINGS) for _ in range(3)]
        self.thing = self.things[0]
        self.fields: list[Field] = self.some(words.FIELDS, 3 + int(self.random() * 3))
        self.functions: list[Function] = []
        self.classes: list[tuple[str, list[Field]]] = []
        self.taken: set[str] = set()

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self.random() * len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """`count` different options, in random order."""
        chosen: list[T] = []
        while len(chosen) < count:
            option = options[int(self.random() * len(options))]
            if option not in chosen:
                chosen.append(option)
        return chosen

    def chance(self, probability: float) -> bool:
        return self.random() < probability

    def quote(self) -> str:
        return self.quote_style or ("'" if self.random() < 0.5 else '"')

    def quoted(self, text: str) -> str:
        quote = self.quote_style or ("'" if self.random() < 0.5 else '"')
        return f"{quote}{text}{quote}"


class Scope:
    """The names a block can use, by what they hold. Names of an inner block go when it ends (`mark`, `reset`)."""

    __slots__ = ("elements", "flags", "holders", "lists", "numbers", "objects", "texts", "used")

    def __init__(self) -> None:
        self.numbers: list[str] = []
        self.texts: list[str] = []
        self.flags: list[str] = []
        self.objects: list[str] = []
        self.lists: list[tuple[str, Thing]] = []
        self.holders: list[tuple[str, str]] = []  # (name, what: set, text, list, count or dict), grown in loops
        self.elements: list[tuple[str, str]] = []  # (name, kind) of the loops around, innermost last
        self.used: set[str] = set()

    def mark(self) -> tuple[int, ...]:
        return (len(self.numbers), len(self.texts), len(self.flags), len(self.objects),
                len(self.lists), len(self.holders), len(self.elements))  # fmt: skip

    def reset(self, mark: tuple[int, ...]) -> None:
        numbers, texts, flags, objects, lists, holders, elements = mark
        del self.numbers[numbers:], self.texts[texts:], self.flags[flags:], self.objects[objects:]
        del self.lists[lists:], self.holders[holders:], self.elements[elements:]

    def add(self, name: str, kind: str) -> None:
        """Make a name known by its kind: number, text, flag or object."""
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


def fresh(program: Program, scope: Scope, options: Sequence[str]) -> str:
    """A name of `options` the scope does not use yet, as far as a few tries find one."""
    name = program.pick(options)
    for _ in range(6):
        if name not in scope.used:
            break
        name = program.pick(options)
    return name


def fresh_list(program: Program, scope: Scope) -> Thing:
    """A kind of thing whose plural is free: mostly of the program's own subject."""
    thing = program.pick(program.things)
    for _ in range(6):
        if thing.many not in scope.used:
            break
        thing = program.pick(words.THINGS)
    return thing
