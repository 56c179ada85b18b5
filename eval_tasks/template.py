"""The template language of tasks: Python code with slots, rendered as the two prompts of a pair.

    def $verb_${thing}s(${thing}s):
        ...
        {{for|while}} $thing{{answer}}{{ in ${thing}s|}}
            print($thing)

A template contains

- slots, such as `$name`, `$name2` and `${thing}s`. A slot is replaced by a word from the section of words.txt with the
  slot's name, here [name] or [thing]. Within a pair, the same slot always gets the same word, and different slots get
  different words;
- choices, `{{left|right}}`: the first prompt gets `left` and the second `right`. The two prompts differ only in their
  choices;
- gaps, lines that contain only `...`. A gap is replaced either by nothing or by a snippet from snippets.txt: from
  [blocks] if the gap is the first line of the template, otherwise from [lines];
- `{{answer}}`, exactly once, where the prompts end. The text after it is the code that continues after the answer.

If an answer includes the end of its line, the line end that follows `{{answer}}` in the template is dropped.
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
"""Slot (`name2`) or section (`name`) -> words to draw from. An entry for a slot takes precedence over its section."""


@dataclass(frozen=True)
class Rendered:
    """One side of a pair as text."""

    prompt: str
    answer: str | None
    """None: any token except the answer of the other side."""
    rest: str
    """Continuation of the code after the answer, or after the prompt if the answer is None."""
    wrong: str | None = None
    """The wrong answer; None: the answer of the other side."""


class Flaw(Exception):
    """A pair rendered from a template breaks a rule. With other words, the same template may obey it."""


class Template:
    """One template with its answers, ready to be filled with words."""

    def __init__(
        self, text: str, answers: tuple[str | None, str | None], wrong: tuple[str | None, str | None] = (None, None)
    ) -> None:
        if text.count(ANSWER) != 1:
            raise UserError(
                f"a template must contain {ANSWER} once, where its prompts end, not {text.count(ANSWER)} times"
            )
        self._sides = tuple(_CHOICE.sub(rf"\g<{side}>", text) for side in (1, 2))
        if any(len(_GAP.findall(side)) != len(_GAP.findall(text)) for side in self._sides):
            raise UserError("a template has a line `...` inside a choice; put it outside, where both sides have it")
        if leftover := _LEFTOVER.search("".join(self._sides)):
            raise UserError(
                f"a template has a {leftover[0]!r} that starts neither a slot `$name` nor a choice `{{{{left|right}}}}`"
            )
        self._answers, self._wrong = answers, wrong
        self.slots = slots_of("\n".join((*self._sides, *filter(None, (*answers, *wrong)))))
        """Slots in order of appearance, which is the order in which words are drawn."""

    def render(self, words: Words, source: random.Random) -> tuple[Rendered, Rendered]:
        """Both sides, with the same words and snippets. `Flaw` if there are too few words for a slot."""
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
    """A block of unrelated code, followed by empty lines; the empty string if there are too few words for it."""
    options = _snippets()["blocks"]
    text, slots = options[int(source.random() * len(options))]
    return _filled(text, slots, words, set(), source, indent="", end="\n\n")


def split_templates(text: str) -> list[str]:
    """Templates (or snippets) that are separated by lines of `---`, without line ends at start and end."""
    return [part.strip("\n") for part in _RULE.split(text.strip("\n") + "\n")]


def section(slot: str) -> str:
    """The section that a slot's words come from: `name2` -> `name`."""
    return slot.rstrip("0123456789")


def fill(text: str, chosen: Mapping[str, str]) -> str:
    """`text` with its slots replaced by the chosen words."""
    return _SLOT.sub(lambda slot: chosen[slot[1] or slot[2]], text)


def slots_of(text: str) -> tuple[str, ...]:
    """The distinct slots in `text`, in order of appearance."""
    return tuple(dict.fromkeys(bare or braced for braced, bare in _SLOT.findall(text)))


def _draw(slot: str, words: Words, taken: set[str], source: random.Random) -> str | None:
    """Draw a word for `slot` that is not in `taken`, and add it to `taken`; None if no word is left."""
    pool = words.get(slot) or words[section(slot)]
    free = [word for word in pool if word not in taken]
    if not free:
        return None
    word = free[int(source.random() * len(free))]
    taken.add(word)
    return word


@cache
def _snippets() -> Mapping[str, list[tuple[str, tuple[str, ...]]]]:
    """The sections `blocks` and `lines` of snippets.txt: section -> (snippet, its slots) for each snippet."""
    text = files(__package__).joinpath("snippets.txt").read_text(encoding="utf-8")
    parts = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)[1:]
    return {
        kind: [(snippet, slots_of(snippet)) for snippet in split_templates(body)]
        for kind, body in zip(parts[::2], parts[1::2], strict=True)
    }


def _snippet(gap: re.Match[str], words: Words, taken: set[str], source: random.Random) -> str:
    """The text for a gap: nothing with probability 1/2, else a snippet with words not used elsewhere in the pair."""
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
    """A snippet filled with unused words, with each line indented, followed by `end`.

    The empty string if there are too few words.
    """
    chosen = {slot: _draw(slot, words, taken, source) for slot in slots}
    if None in chosen.values():
        return ""
    lines = fill(text, chosen).split("\n")  # type: ignore[arg-type]
    return "".join(indent + line + "\n" if line else "\n" for line in lines) + end
