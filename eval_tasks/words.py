"""The words that fill the slots of task templates, and the split that each word belongs to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.errors import UserError

DEAL = ("train", "validation", "test", "train")
"""The words of a section are assigned to these splits in turn, so half of them go to `train`."""

Pools = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Name of a section -> split -> the words of the section that this split uses."""


def _sections(text: str) -> Iterator[tuple[str, bool, list[str]]]:
    """Sections of a text in the format of words.txt, each as (name, whether every split gets all its words, words)."""
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
    """The words of words.txt, divided among the splits."""
    return deal(files(__package__).joinpath("words.txt").read_text(encoding="utf-8"))


def deal(text: str, known: Pools | None = None) -> Pools:
    """Divide the words of each section of `text` among the splits, in the order of the text, without randomness.

    known: sections that exist already. `UserError` if a word is in two sections, including those of `known`, because
    it could then be in two splits.
    """
    pools: dict[str, Mapping[str, tuple[str, ...]]] = {}
    home = {word: name for name, splits in (known or {}).items() for words in splits.values() for word in words}
    for name, everywhere, words in _sections(text):
        for word in words:
            if word in home:
                raise UserError(
                    f"the word {word!r} is in section [{name}] and in [{home[word]}]; it may be in only one"
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
    """Whether each word of a section belongs to only one split."""
    return not set(splits["train"]) & set(splits["test"])
