"""Tasks. A file defines one in a few lines, as a `PairTask`.

Posing the task with a tokenizer gives a `PosedTask`, which makes prompt pairs as token ids.
"""

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
from sparsegpt2.plain import check_record, fits
from sparsegpt2.text.tokenizer import Tokenizer

LONGEST = 256
"""Largest length of a prompt in tokens, end of text included (Gao et al. 2025, arXiv 2511.13653, appendix A.5)."""

TRIALS = 8
"""Number of renderings of a template that are tried in each split to decide whether the tokenizer can pose it. A
rendering fills the template with randomly chosen words."""

WORKING = 2
"""Smallest number of those renderings that must obey the rules for pairs (`PosedTask._posed`), in each split. If fewer
do, too few words fit the template for it to be useful."""

ATTEMPTS = 1000
"""Largest number of renderings tried for one pair. A template that passed the trials needs far fewer."""


@dataclass(frozen=True, kw_only=True)
class PairTask:
    """A task as its file defines it, independent of any tokenizer."""

    description: str
    """One line: what the model must choose, and what decides the choice."""
    answers: tuple[str | None, str | None]
    """The right tokens after the left and the right prompt. They may contain slots, such as `$name1`, which are filled
    with words (template.py). None: any token except the answer of the other side."""
    templates: str
    """Templates in the language of template.py, separated by lines of `---`."""
    single: tuple[str, ...] = ()
    """Texts with one slot each, such as ` $name1`. The slot is filled only with words that make the text a single
    token."""
    alternatives: tuple[str | None, str | None] = (None, None)
    """The wrong tokens after the left and the right prompt, written in the same way as `answers`. None: the answer of
    the other side."""
    max_differing: int = 1
    """Largest number of token positions at which the two prompts may differ."""
    same_tail: int = 1
    """Smallest number of tokens that both prompts must share at their end. 0 if the prompts may differ in their last
    token."""
    words: str = ""
    """Additional sections of words for this task, written as in words.txt."""
    everywhere: tuple[str, ...] = ()
    """Slots for which every split uses all words, although their section is divided among the splits. Tasks that copy a
    name need this, because a circuit that was chosen with some names may lack the path for other names. Every template
    must also have a slot whose words are divided, so that the splits share no prompts."""

    def __post_init__(self) -> None:
        if not fits(self.answers, tuple[str | None, str | None]) or tuple(self.answers) == (None, None):
            raise UserError("answers must be two texts, or one text and None")
        check_record(type(self), vars(self), "the task")
        for name in ("answers", "alternatives", "single", "everywhere"):  # a list is as good as a tuple
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.answers[0] == self.answers[1]:
            raise UserError(f"both sides have the answer {self.answers[0]!r}; the two prompts need different answers")


@dataclass(frozen=True)
class Side:
    """One prompt of a pair."""

    prompt: str
    """Text, without the end-of-text token that precedes it."""
    tokens: tuple[int, ...]
    """Token ids, starting with end of text."""
    answer: str | None
    """Text of the right token; None: any token except the answer of the other side."""
    answer_id: int
    """Id of the right token, or -1 if `answer` is None."""
    alternative_id: int | None = None
    """Id of the wrong token; None: the answer of the other side."""


@dataclass(frozen=True)
class Pair:
    """Two prompts that differ in as little as possible and need opposite answers."""

    left: Side
    right: Side


class PosedTask:
    """A `PairTask` posed with a tokenizer; it implements `sparsegpt2.circuits.task.Task`.

    The constructor tries every template in every split and keeps those that the tokenizer can pose. If fewer than half
    of the templates remain, it raises `Unposable` (a `UserError`) with the reason.
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
        """The templates that this tokenizer can pose; pairs use them in turn."""
        self._pair = lru_cache(maxsize=1 << 14)(self._make_pair)

    def __repr__(self) -> str:
        return f"PosedTask({self.name}: {self.definition.description}; {len(self.templates)} templates)"

    def variant(self, kind: str, length: int) -> PosedTask:
        """The same questions with other text before the prompts (`sparsegpt2.circuits.task.VariedTask`).

        kind: `longer` puts as many blocks of unrelated code before each prompt as fit. `distractors` puts a complete
        program of this task before it, which contains the answer of one side, chosen at random. Both sides of a pair
        get the same text, with words of the pair's split. length: largest number of tokens in a prompt. `UserError` if
        `kind` is unknown.
        """
        varied = copy.copy(self)
        varied.name = f"{self.name}, {kind}"
        varied._longest, varied._preface = min(length, LONGEST), preface_of(kind)
        varied._pair = lru_cache(maxsize=1 << 14)(varied._make_pair)
        return varied

    def reworded(self, name: str, templates: str, words: str = "") -> PosedTask:
        """The same question in other templates (`sparsegpt2.circuits.task.RewordableTask`).

        templates: as `PairTask.templates`. words: sections of words in addition to those of the task. The two prompts
        of a pair may differ at any number of positions. `Unposable` if the tokenizer can't pose the templates.
        """
        definition = self.definition
        words = definition.words + words
        return PosedTask(
            name, replace(definition, templates=templates, words=words, max_differing=LONGEST), self.tokenizer
        )

    def batch(self, split: str, n: int, seed: int) -> TaskBatch:
        """`n` pairs of `split` as a batch of 2n rows: row 2i is the left prompt of pair i, row 2i + 1 the right one."""
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
        """Pairs 0 to n - 1 of (split, seed). Pair i does not depend on n."""
        if split not in SPLITS:
            raise UserError(f"there is no split {split!r}; the splits are {', '.join(SPLITS)}")
        if n < 1:
            raise UserError(f"a batch must have at least 1 pair, not {n}")
        return [self._pair(split, seed, index) for index in range(n)]

    def forget_pairs(self) -> None:
        """Empty the cache of pairs. Pairs are deterministic, so later calls recompute the same ones.

        Without this, a benchmark would keep the pairs of all its tasks, about 6 MB of RAM for each pruning seed.
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
            except Flaw:  # other words may fit
                continue
        raise UserError(f"task {self.name!r}: no words of split {split} fit its template {index % len(self.templates)}")

    def words(self, split: str) -> dict[str, tuple[str, ...]]:
        """The words of a split, by section. Slots in `everywhere`, and slots whose words must be single tokens, have
        entries of their own, by the name of the slot."""
        return self._words[split]

    def room(self, prompt: str) -> int:
        """Number of tokens that can be put before a prompt without making it too long."""
        return self._longest - 1 - len(self.tokenizer.encode(prompt))

    # --- Checks before any pair is made -------------------------------------------------------------------------

    def _read_templates(self, pools: Pools) -> list[Template]:
        """The templates of the definition. `UserError` with the number of a template that has a mistake."""
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
                        f"for ${slot}; the sections are {', '.join(pools)}"
                    )
            own = [slot for slot in template.slots if slot not in self.definition.everywhere]
            if not any(is_divided(pools[section(slot)]) for slot in own):
                raise UserError(
                    f"task {self.name!r}, template {number}: no slot has words that are divided among the splits, "
                    f"so the splits would share prompts; use a slot such as $name that is not in `everywhere`"
                )
            templates.append(template)
        for slot in self.definition.everywhere:
            if not any(slot in template.slots for template in templates):
                raise UserError(
                    f"task {self.name!r}: `everywhere` lists the slot ${slot}, which is in none of its templates"
                )
        return templates

    def _usable_words(self, pools: Pools, split: str) -> dict[str, tuple[str, ...]]:
        """The words of `split`, as described at `words`. `Unposable` if too few of them make a single token."""
        usable = {name: splits[split] for name, splits in pools.items()}
        for slot in self.definition.everywhere:
            usable[slot] = tuple(dict.fromkeys(word for words in pools[section(slot)].values() for word in words))
        asked = (*self.definition.answers, *self.definition.alternatives)
        texts = [*self.definition.single, *filter(None, asked)]
        for text in texts:
            if len(slots_of(text)) > 1:
                raise UserError(f"task {self.name!r}: {text!r} has more than one slot")
            for slot in slots_of(text):
                if section(slot) not in usable:
                    raise UserError(
                        f"task {self.name!r}: {text!r} has the slot ${slot}, but there is no section [{section(slot)}] "
                        f"of words; the sections are {', '.join(pools)}"
                    )
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
        """The templates in which `_flaw` finds no fault; `Unposable` if they are fewer than half of all."""
        flaws = {template: self._flaw(template) for template in templates}
        posable = [template for template, flaw in flaws.items() if flaw is None]
        if 2 * len(posable) < len(templates):
            found = next(f"in template {i}, {flaw}" for i, flaw in enumerate(flaws.values(), 1) if flaw is not None)
            raise Unposable(
                self.name, f"it fits {len(posable)} of {len(templates)} templates, and half are needed; {found}"
            )
        return posable

    def _flaw(self, template: Template) -> str | None:
        """Why the tokenizer can't pose `template`; None if it can.

        The reason is the rule that most renderings break, in the first split where fewer than `WORKING` renderings obey
        all rules.
        """
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
        """The two rendered sides as a pair in tokens. `Flaw`, which names the rule, if the pair breaks a rule."""
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
            raise Flaw(f"the two prompts don't end with the same tokens: {_end(one.prompt)} and {_end(other.prompt)}")
        if one.answer_id == other.answer_id:
            raise Flaw(f"both sides have the answer {one.answer!r}")
        return pair

    def _side(self, side: Rendered, other_answer: str | None) -> Side:
        """One prompt in tokens. `Flaw` unless the answer is the token that follows the prompt in ordinary text.

        Ordinary text is the prompt, the answer and the rest of the template, encoded together. This check is needed
        because a tokenizer may merge the end of the prompt with the text that follows it. If the side has no answer,
        the token that follows the prompt must not be the answer of the other side.
        """
        prompt = self.tokenizer.encode(side.prompt)
        onward = self.tokenizer.encode(side.prompt + (side.answer or "") + side.rest)
        if onward[: len(prompt)] != prompt or len(onward) == len(prompt):
            raise Flaw(f"the text that continues {_end(side.prompt)} changes the tokens of the prompt")
        met = onward[len(prompt)]
        if side.answer is None:
            answer_id = ANYTHING_ELSE
            if other_answer is not None and met == self._token(other_answer):
                raise Flaw(f"{_end(side.prompt)} is followed by {other_answer!r}, the answer of the other side")
        else:
            answer_id = self._token(side.answer)
            if met != answer_id or self.tokenizer.encode(side.prompt + side.answer) != [*prompt, answer_id]:
                raise Flaw(
                    f"{_end(side.prompt)} is followed by the token {self.tokenizer.token(met)!r}, not {side.answer!r}"
                )
        wrong = None if side.wrong is None else self._token(side.wrong)
        return Side(side.prompt, (self.tokenizer.end_of_text, *prompt), side.answer, answer_id, wrong)

    def _token(self, answer: str) -> int:
        token = self.tokenizer.single(answer)
        if token is None:
            raise Flaw(f"the answer {answer!r} is {len(self.tokenizer.encode(answer))} tokens, not a single token")
        return token


def _end(prompt: str) -> str:
    """The last 40 characters of a prompt, quoted, for error messages."""
    return repr(prompt if len(prompt) <= 40 else "..." + prompt[-40:])
