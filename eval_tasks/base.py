"""What a task is: a definition of a few lines (`PairTask`), posed in a tokenizer's tokens (`PosedTask`)."""

from __future__ import annotations

import copy
import random
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from eval_tasks.surroundings import Preface, preface_of
from eval_tasks.template import Flaw, Rendered, Template, fill, section, slots_of, split_templates
from eval_tasks.words import Pools, common_pools, deal, is_divided
from sparsegpt2.circuits.task import ANYTHING_ELSE, SPLITS, TaskBatch, Unposable
from sparsegpt2.errors import UserError
from sparsegpt2.text.tokenizer import Tokenizer

LONGEST = 256
"""Tokens a prompt may have, end of text included (the paper's limit, appendix A.5)."""

TRIALS = 8
"""Renderings of a template that are tried in each split before it counts as posable ..."""

WORKING = 2
"""... and how many of them must obey the rules: below that, a few lucky words would be all there is."""

ATTEMPTS = 1000
"""Renderings tried for one pair, far above what `WORKING` of `TRIALS` leaves likely."""


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """A task as its file defines it, free of any tokenizer."""

    description: str
    """One line: what the model must choose, and what decides."""
    answers: tuple[str | None, str | None]
    """The tokens wanted after the left and the right prompt; may hold slots. None: anything but the other's answer."""
    templates: str
    """Templates in the language of template.py, parted by lines of `---`."""
    single: tuple[str, ...] = ()
    """Texts with one slot, such as ` $name1`: only words that make each of them one token are used for the slot."""
    alternatives: tuple[str | None, str | None] = (None, None)
    """The tokens that are wrong after the left and the right prompt, written as `answers`; None: the other's answer."""
    max_differing: int = 1
    """Positions (tokens) at which the two prompts may differ."""
    same_tail: int = 1
    """Tokens at the end that both prompts share; 0 when the last token itself decides."""
    words: str = ""
    """Sections of this task's own, written as in words.txt."""
    everywhere: tuple[str, ...] = ()
    """Slots whose words are not divided among the splits: names that a task copies, as a circuit that was chosen for
    some names need not have the way of others. Every template needs a slot besides whose words are a split's own."""

    def __post_init__(self) -> None:
        if not (isinstance(self.answers, tuple) and len(self.answers) == 2 and self.answers != (None, None)):
            raise UserError("answers must be two texts, or one text and None")
        if self.answers[0] == self.answers[1]:
            raise UserError(f"both sides want the answer {self.answers[0]!r}; a task's two prompts want different ones")


@dataclass(frozen=True)
class Side:
    """One prompt of a pair."""

    prompt: str
    """Text, without the end of text that stands before it."""
    tokens: tuple[int, ...]
    """Ids, end of text first."""
    answer: str | None
    """Text of the wanted token; None: anything but the other side's answer."""
    answer_id: int
    """Id of the wanted token, or -1."""
    alternative_id: int | None = None
    """Id of the wrong token, where it is not the other side's answer."""


@dataclass(frozen=True)
class Pair:
    """Two prompts that differ in as little as possible and want opposite answers."""

    left: Side
    right: Side


class PosedTask:
    """A `PairTask` in the tokens of one tokenizer; a `sparsegpt2.circuits.task.Task`.

    Making one tries every template in every split and keeps those the tokenizer can pose; `Unposable` (a `UserError`)
    says why when they are less than half.
    """

    def __init__(self, name: str, definition: PairTask, tokenizer: Tokenizer) -> None:
        self.name = name
        self.definition = definition
        self.tokenizer = tokenizer
        self._longest = LONGEST
        self._preface: Preface | None = None
        pools = {**common_pools(), **deal(definition.words, common_pools())}
        templates = self._read_templates(pools)
        self._words = {split: self._usable_words(pools, split) for split in SPLITS}
        self.templates = self._posable(templates)
        """Those of the definition's templates that this tokenizer can pose, used in turn."""
        self._pair = lru_cache(maxsize=1 << 14)(self._make_pair)

    def __repr__(self) -> str:
        return f"PosedTask({self.name}: {self.definition.description}; {len(self.templates)} templates)"

    def variant(self, kind: str, length: int) -> PosedTask:
        """The same questions in other surroundings: a `sparsegpt2.circuits.task.VariedTask`.

        `longer` puts blocks of code that ask nothing before each prompt, as many as fit; `distractors` a finished
        program of this very task, with either answer. Both sides of a pair get the same; words are of the pair's split.
        length: most tokens of a prompt. `UserError` for another kind.
        """
        varied = copy.copy(self)
        varied.name = f"{self.name}, {kind}"
        varied._longest, varied._preface = min(length, LONGEST), preface_of(kind)
        varied._pair = lru_cache(maxsize=1 << 14)(varied._make_pair)
        return varied

    def reworded(self, name: str, templates: str, words: str = "") -> PosedTask:
        """The same question in other templates: a `sparsegpt2.circuits.task.RewordableTask`.

        templates: as `PairTask.templates`. words: sections of words besides the task's own. The two prompts of a pair
        may differ anywhere. `Unposable` where the tokenizer can't pose them.
        """
        definition = self.definition
        words = definition.words + words
        return PosedTask(
            name, replace(definition, templates=templates, words=words, max_differing=LONGEST), self.tokenizer
        )

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs of `split` as rows: the left prompt of pair i is row 2i, the right one row 2i+1."""
        pairs = self.pairs(split, n, seed)
        sides = [side for pair in pairs for side in (pair.left, pair.right)]
        others = [side for pair in pairs for side in (pair.right, pair.left)]
        longest = max(len(side.tokens) for side in sides)
        padding = (self.tokenizer.end_of_text,) * longest
        return TaskBatch(
            tokens=torch.tensor([(side.tokens + padding)[:longest] for side in sides]),
            position=torch.tensor([len(side.tokens) - 1 for side in sides]),
            answer=torch.tensor([side.answer_id for side in sides]),
            alternative=torch.tensor(
                [
                    other.answer_id if side.alternative_id is None else side.alternative_id
                    for side, other in zip(sides, others, strict=True)
                ]
            ),
        )

    def pairs(self, split: str, n: int, seed: int) -> list[Pair]:
        """Pairs 0 to n - 1 of (split, seed); pair i is the same for every n."""
        if split not in SPLITS:
            raise UserError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
        if n < 1:
            raise UserError(f"a batch must have at least 1 pair, not {n}")
        return [self._pair(split, seed, index) for index in range(n)]

    def forget_pairs(self) -> None:
        """Let go of the pairs made so far: they are kept for others who ask for the same, and come back the same.

        Without it a benchmark would hold those of all its tasks, some 6 MB for each pruning seed.
        """
        self._pair.cache_clear()

    def _make_pair(self, split: str, seed: int, index: int) -> Pair:
        source = random.Random(f"{self.name}/{split}/{seed}/{index}")
        template = self.templates[index % len(self.templates)]
        for _ in range(ATTEMPTS):
            try:
                sides = template.render(self._words[split], source)
                if self._preface is not None:
                    sides = self._preface(self, sides, split, source)
                return self._posed(*sides)
            except Flaw:  # other words may do
                continue
        raise UserError(f"task {self.name!r}: no words of split {split} fit its template {index % len(self.templates)}")

    def words(self, split: str) -> dict[str, tuple[str, ...]]:
        """Words of a split by section, and by slot where the task needs them to be single tokens."""
        return self._words[split]

    def room(self, prompt: str) -> int:
        """Tokens that may still stand before a prompt."""
        return self._longest - 1 - len(self.tokenizer.encode(prompt))

    # --- Before any pair is made --------------------------------------------------------------------------------

    def _read_templates(self, pools: Pools) -> list[Template]:
        """The templates; a mistake in the definition is a `UserError` that names the template."""
        templates = []
        for number, text in enumerate(split_templates(self.definition.templates), 1):
            try:
                template = Template(text, self.definition.answers, self.definition.alternatives)
            except UserError as error:
                raise UserError(f"task {self.name!r}, template {number}: {error}") from None
            for slot in template.slots:
                if section(slot) not in pools:
                    raise UserError(
                        f"task {self.name!r}, template {number}: there is no section [{section(slot)}] of words "
                        f"for ${slot}; there are {', '.join(pools)}"
                    )
            own = [slot for slot in template.slots if slot not in self.definition.everywhere]
            if not any(is_divided(pools[section(slot)]) for slot in own):
                raise UserError(
                    f"task {self.name!r}, template {number}: no slot has words of a split's own, "
                    f"so the splits would share prompts; use a slot such as $name that is not everywhere"
                )
            templates.append(template)
        for slot in self.definition.everywhere:
            if not any(slot in template.slots for template in templates):
                raise UserError(
                    f"task {self.name!r}: everywhere names the slot ${slot}, which is in none of its templates"
                )
        return templates

    def _usable_words(self, pools: Pools, split: str) -> dict[str, tuple[str, ...]]:
        """Words of `split` by section, and by slot where the task needs them to be single tokens."""
        usable = {name: splits[split] for name, splits in pools.items()}
        for slot in self.definition.everywhere:
            usable[slot] = tuple(dict.fromkeys(word for words in pools[section(slot)].values() for word in words))
        asked = (*self.definition.answers, *self.definition.alternatives)
        texts = [*self.definition.single, *filter(None, asked)]
        for text in texts:
            for slot in slots_of(text):
                words = usable.get(slot) or usable[section(slot)]
                fitting = tuple(word for word in words if self.tokenizer.single(fill(text, {slot: word})) is not None)
                if len(fitting) < 2:
                    raise Unposable(
                        self.name,
                        f"of the {len(words)} words for ${slot} in split {split}, {len(fitting)} make {text!r} "
                        f"a single token; 2 are needed",
                    )
                usable[slot] = fitting
        return usable

    def _posable(self, templates: list[Template]) -> list[Template]:
        """The templates whose rules mostly hold in every split; `Unposable` when that is less than half of them."""
        flaws = {template: self._flaw(template) for template in templates}
        posable = [template for template, flaw in flaws.items() if flaw is None]
        if 2 * len(posable) < len(templates):
            found = next(f"in template {i}, {flaw}" for i, flaw in enumerate(flaws.values(), 1) if flaw is not None)
            raise Unposable(
                self.name, f"it can use {len(posable)} of {len(templates)} templates, and needs half of them; {found}"
            )
        return posable

    def _flaw(self, template: Template) -> str | None:
        """The rule that renderings of `template` mostly break, in the first split where they do."""
        for split in SPLITS:
            flaws: Counter[str] = Counter()
            for trial in range(TRIALS):
                try:
                    self._posed(*template.render(self._words[split], random.Random(trial)))
                except Flaw as flaw:
                    flaws[str(flaw)] += 1
            if TRIALS - flaws.total() < WORKING:
                return flaws.most_common(1)[0][0]
        return None

    # --- The rules, checked on every pair -----------------------------------------------------------------------

    def _posed(self, left: Rendered, right: Rendered) -> Pair:
        """The pair, if it obeys the rules; `Flaw` names the rule it breaks."""
        pair = Pair(self._side(left, right.answer), self._side(right, left.answer))
        one, other = pair.left, pair.right
        if len(one.tokens) != len(other.tokens):
            raise Flaw(
                f"the two prompts have {len(one.tokens)} and {len(other.tokens)} tokens: "
                f"{_end(one.prompt)} and {_end(other.prompt)}"
            )
        if len(one.tokens) > self._longest:
            raise Flaw(f"a prompt has {len(one.tokens)} tokens, more than {self._longest}")
        differing = [i for i, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=True)) if a != b]
        if not 1 <= len(differing) <= self.definition.max_differing:
            raise Flaw(
                f"the two prompts differ at {len(differing)} positions, not 1 to {self.definition.max_differing}: "
                f"{_end(one.prompt)} and {_end(other.prompt)}"
            )
        if len(one.tokens) - 1 - differing[-1] < self.definition.same_tail:
            raise Flaw(f"the two prompts don't end alike: {_end(one.prompt)} and {_end(other.prompt)}")
        if one.answer_id == other.answer_id:
            raise Flaw(f"both sides want {one.answer!r}")
        return pair

    def _side(self, side: Rendered, other_answer: str | None) -> Side:
        """One prompt in tokens, if the answer is the token that training text has there."""
        prompt = self.tokenizer.encode(side.prompt)
        onward = self.tokenizer.encode(side.prompt + (side.answer or "") + side.rest)
        if onward[: len(prompt)] != prompt or len(onward) == len(prompt):
            raise Flaw(f"code going on after {_end(side.prompt)} has other tokens there than the prompt")
        met = onward[len(prompt)]
        if side.answer is None:
            answer_id = ANYTHING_ELSE
            if other_answer is not None and met == self._token(other_answer):
                raise Flaw(f"after {_end(side.prompt)} comes {other_answer!r}, the answer of the other side")
        else:
            answer_id = self._token(side.answer)
            if met != answer_id or self.tokenizer.encode(side.prompt + side.answer) != [*prompt, answer_id]:
                raise Flaw(
                    f"after {_end(side.prompt)} comes the token {self.tokenizer.token(met)!r}, not {side.answer!r}"
                )
        wrong = None if side.wrong is None else self._token(side.wrong)
        return Side(side.prompt, (self.tokenizer.end_of_text, *prompt), side.answer, answer_id, wrong)

    def _token(self, answer: str) -> int:
        token = self.tokenizer.single(answer)
        if token is None:
            raise Flaw(f"the answer {answer!r} is {len(self.tokenizer.encode(answer))} tokens, not one")
        return token


def _end(prompt: str) -> str:
    """The end of a prompt, for messages."""
    return repr(prompt if len(prompt) <= 40 else "..." + prompt[-40:])
