"""The words that fill the slots of task templates, and which split each belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.errors import UserError

DEAL = ("train", "validation", "test", "train")
"""The splits that the words of a section are dealt to in turn: half of them train."""

Pools = Mapping[str, Mapping[str, tuple[str, ...]]]
"""section -> split -> its words"""


def _sections(text: str) -> Iterator[tuple[str, bool, list[str]]]:
    """(section, whether its words go to every split, its words) from text as in words.txt."""
    heading, words = "", list[str]()
    for line in [*text.splitlines(), "[]"]:
        if line.startswith("["):
            if heading:
                name, _, everywhere = heading.partition(" ")
                yield name, everywhere == "everywhere", words
            heading, words = line.strip("[] "), []
        elif not line.startswith("#"):
            words += line.split()


@cache
def common_pools() -> Pools:
    """The sections of words.txt."""
    return deal(files(__package__).joinpath("words.txt").read_text(encoding="utf-8"))


def deal(text: str, known: Pools | None = None) -> Pools:
    """Divide the words of each section of `text` among the splits, in their order, so that no seed changes it.

    `UserError` when a word would stand in two sections (of `known` too): it might belong to two splits.
    """
    pools: dict[str, Mapping[str, tuple[str, ...]]] = {}
    home = {word: name for name, splits in (known or {}).items() for words in splits.values() for word in words}
    for name, everywhere, words in _sections(text):
        for word in words:
            if word in home:
                raise UserError(
                    f"the word {word!r} is in section [{name}] and in [{home[word]}]; it may be in one only"
                )
            home[word] = name
        if everywhere:
            pools[name] = dict.fromkeys(SPLITS, tuple(words))
        else:
            pools[name] = {
                split: tuple(word for i, word in enumerate(words) if DEAL[i % len(DEAL)] == split) for split in SPLITS
            }
    return pools


def is_divided(splits: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether the section's words belong to one split each."""
    return not set(splits["train"]) & set(splits["test"])
