"""The language of task templates: Python code with slots, rendered as the two prompts of a pair.

    def $verb_${thing}s(${thing}s):
        ...
        {{for|while}} $thing{{answer}}{{ in ${thing}s|}}
            print($thing)

In a template stand

- for a word of section [name] or [thing] of words.txt: `$name`, `$name2`, `${thing}s`. The same slot is the same word,
  other slots are other words;
- for `left` in the first prompt and `right` in the second, which is all they may differ in: `{{left|right}}`;
- for nothing or a snippet of snippets.txt: `...` alone on a line (at the start a block, anywhere else a line);
- for the end of the prompts: `{{answer}}`. What follows is how the code goes on after the answer.

An answer that ends its line takes the end of the template's line with it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from sparsegpt2.errors import UserError

ANSWER = "{{answer}}"
_CHOICE = re.compile(r"\{\{(?!answer\}\})(.*?)\|(.*?)\}\}", re.DOTALL)
_SLOT = re.compile(r"\$\{([a-z]+\d*)\}|\$([a-z]+\d*)")
_LEFTOVER = re.compile(r"\{\{(?!answer\}\})|\$(?![a-z{])")
_GAP = re.compile(r"^( *)\.\.\.\n", re.MULTILINE)
_RULE = re.compile(r"^---\n", re.MULTILINE)

Words = Mapping[str, Sequence[str]]
"""What to draw from: slot (`name2`) or section (`name`) -> its words; a slot's own entry goes before its section's."""


@dataclass(frozen=True)
class Rendered:
    """One side of a pair as text."""

    prompt: str
    answer: str | None
    """None: anything but the other side's answer."""
    rest: str
    """How the code goes on after the answer (if None: after the prompt)."""
    wrong: str | None = None
    """The wrong choice, where it is not the other side's answer."""


class Flaw(Exception):
    """One rendering breaks a rule, for which other words may do."""


class Template:
    """One template with its two answers, ready to be filled with words."""

    def __init__(
        self, text: str, answers: tuple[str | None, str | None], wrong: tuple[str | None, str | None] = (None, None)
    ) -> None:
        if text.count(ANSWER) != 1:
            raise UserError(
                f"a template must have {ANSWER} once, where its prompts end, not {text.count(ANSWER)} times"
            )
        self._sides = tuple(_CHOICE.sub(rf"\g<{side}>", text) for side in (1, 2))
        if any(len(_GAP.findall(side)) != len(_GAP.findall(text)) for side in self._sides):
            raise UserError("a template has a line `...` inside a choice; both sides must have the same ones")
        if leftover := _LEFTOVER.search("".join(self._sides)):
            raise UserError(
                f"a template has {leftover[0]!r} that opens no slot `$name` and no choice `{{{{left|right}}}}`"
            )
        self._answers, self._wrong = answers, wrong
        self.slots = slots_of("\n".join((*self._sides, *filter(None, (*answers, *wrong)))))
        """Slots in the order they appear; words are drawn in this order."""

    def render(self, words: Words, source: random.Random) -> tuple[Rendered, Rendered]:
        """Both sides with the same words and snippets. `Flaw` when there are too few words for a slot."""
        chosen: dict[str, str] = {}
        taken: set[str] = set()
        for slot in self.slots:
            word = _draw(slot, words, taken, source)
            if word is None:
                raise Flaw(f"section [{section(slot)}] has too few words for ${slot}")
            chosen[slot] = word
        gaps = [_snippet(gap, words, taken, source) for gap in _GAP.finditer(self._sides[0])]
        left, right = (self._side(side, chosen, gaps) for side in (0, 1))
        return left, right

    def _side(self, side: int, chosen: Mapping[str, str], gaps: Sequence[str]) -> Rendered:
        remaining = iter(gaps)
        text = _GAP.sub(lambda _: next(remaining), self._sides[side])
        prompt, rest = fill(text, chosen).split(ANSWER)
        answer = self._answers[side]
        if answer is not None:
            answer = fill(answer, chosen)
            if answer.endswith("\n"):
                rest = rest.removeprefix("\n")
        wrong = self._wrong[side]
        return Rendered(prompt, answer, rest, wrong if wrong is None else fill(wrong, chosen))


def filler(words: Words, source: random.Random) -> str:
    """A block of code that asks nothing, with empty lines behind it; empty when there are too few words for it."""
    options = _snippets()["blocks"]
    text, slots = options[int(source.random() * len(options))]
    return _filled(text, slots, words, set(), source, indent="", end="\n\n")


def split_templates(text: str) -> list[str]:
    """Templates (or snippets) parted by lines of `---`, without the line ends around them."""
    return [part.strip("\n") for part in _RULE.split(text.strip("\n") + "\n")]


def section(slot: str) -> str:
    """The section a slot's words come from: `name2` -> `name`."""
    return slot.rstrip("0123456789")


def fill(text: str, chosen: Mapping[str, str]) -> str:
    """`text` with its slots replaced."""
    return _SLOT.sub(lambda slot: chosen[slot[1] or slot[2]], text)


def slots_of(text: str) -> tuple[str, ...]:
    """The slots in `text`, each once, in order."""
    return tuple(dict.fromkeys(bare or braced for braced, bare in _SLOT.findall(text)))


def _draw(slot: str, words: Words, taken: set[str], source: random.Random) -> str | None:
    """A word for `slot` that is not in `taken`, and from then on is; None when there is none."""
    pool = words.get(slot) or words[section(slot)]
    free = [word for word in pool if word not in taken]
    if not free:
        return None
    word = free[int(source.random() * len(free))]
    taken.add(word)
    return word


@cache
def _snippets() -> Mapping[str, list[tuple[str, tuple[str, ...]]]]:
    """`blocks` and `lines` of snippets.txt, each snippet with its slots."""
    text = files(__package__).joinpath("snippets.txt").read_text(encoding="utf-8")
    parts = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)[1:]
    return {
        kind: [(snippet, slots_of(snippet)) for snippet in split_templates(body)]
        for kind, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _snippet(gap: re.Match[str], words: Words, taken: set[str], source: random.Random) -> str:
    """What stands in a gap: every other time nothing. Its words are not used elsewhere in the pair."""
    is_start = gap.start() == 0
    options = _snippets()["blocks" if is_start else "lines"]
    wanted, choice = source.random(), source.random()
    if wanted < 0.5:
        return ""
    text, slots = options[int(choice * len(options))]
    return _filled(text, slots, words, taken, source, indent=gap[1], end="\n\n" if is_start else "")


def _filled(
    text: str, slots: Sequence[str], words: Words, taken: set[str], source: random.Random, *, indent: str, end: str
) -> str:
    """A snippet with words of its own, its lines indented, and `end` behind it; empty when there are too few words."""
    chosen = {slot: _draw(slot, words, taken, source) for slot in slots}
    if None in chosen.values():
        return ""
    lines = fill(text, chosen).split("\n")  # type: ignore[arg-type]
    return "".join(indent + line + "\n" if line else "\n" for line in lines) + end
