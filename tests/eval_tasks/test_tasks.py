"""Every built-in task obeys the rules of tasks, with a tokenizer trained on the default corpus."""

from __future__ import annotations

import ast
import io
import keyword
import random
import tokenize
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import eval_tasks
from eval_tasks.base import LONGEST, Pair, PosedTask, Side
from eval_tasks.words import common_pools
from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.text.tokenizer import Tokenizer

TASKS = (
    *("single_double_quote", "final_kwarg", "set_or_string", "set_or_string_fixedvarname", "class_init", "with_as"),
    *("bracket_brace", "with_open", "bracket_counting", "for_while", "else_elif", "fstring_brace", "if_ternary"),
    *("var_swap", "indent_for", "lambda_func", "if_equals", "enumerate_range", "var_if", "while_return_true"),
)

ONE_SIDED = {"else_elif", "fstring_brace", "if_ternary"}
"""Tasks of which one side wants anything but the other's answer."""

NAMES = {"name", "flag", "holder", "thing", "verb", "helper", "class"}
"""Sections of words.txt whose words are identifiers, not texts between quotes."""

FIXED = {"input", "count", "index", "sort", "read", "get", "find"}
"""Words of words.txt that are also names in the library, and stand as such in templates and snippets."""

_posed: dict[tuple[str, str], PosedTask] = {}


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> PosedTask:
    key = request.param, tokenizer.fingerprint
    if key not in _posed:
        _posed[key] = eval_tasks.get_task(request.param, tokenizer)
    return _posed[key]


def some_pairs(task: PosedTask, n: int = 24) -> list[Pair]:
    return [pair for split in SPLITS for pair in task.pairs(split, n, seed=0)]


def identifiers(side: Side) -> frozenset[str]:
    """Names in a prompt that are no keywords; the prompt may break off anywhere."""
    names: set[str] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(side.prompt).readline):
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                names.add(token.string)
    except (tokenize.TokenError, IndentationError):
        pass
    return frozenset(names)


def test_the_twenty_tasks_are_there() -> None:
    assert eval_tasks.task_names() == sorted(TASKS)


def test_the_default_corpus_gives_a_tokenizer_for_all(tokenizer: Tokenizer) -> None:
    assert {name: reason for name, reason in eval_tasks.available(tokenizer).items() if reason} == {}


def test_prompts_differ_in_as_little_as_declared(task: PosedTask) -> None:
    for pair in some_pairs(task):
        left, right = pair.left.tokens, pair.right.tokens
        assert len(left) == len(right) <= LONGEST
        differing = [i for i in range(len(left)) if left[i] != right[i]]
        assert 1 <= len(differing) <= task.definition.max_differing
        assert differing[-1] < len(left) - task.definition.same_tail


def test_the_answer_is_the_token_that_text_has_there(task: PosedTask, tokenizer: Tokenizer) -> None:
    for pair in some_pairs(task):
        for side in (pair.left, pair.right):
            assert list(side.tokens) == [tokenizer.end_of_text, *tokenizer.encode(side.prompt)]
            if side.answer is not None:
                onward = tokenizer.encode(side.prompt + side.answer)
                assert onward == [*side.tokens[1:], side.answer_id]
                assert tokenizer.token(side.answer_id) == side.answer


def test_the_two_sides_want_opposite_answers(task: PosedTask) -> None:
    for pair in some_pairs(task):
        assert pair.left.answer_id != pair.right.answer_id
        assert [side.answer is None for side in (pair.left, pair.right)] == [False, task.name in ONE_SIDED]


def test_batch_holds_the_pairs(task: PosedTask, tokenizer: Tokenizer) -> None:
    batch = task.batch("validation", 5, seed=3)
    pairs = task.pairs("validation", 5, seed=3)
    assert len(batch) == 10
    assert batch.tokens.dtype == batch.position.dtype == batch.answer.dtype == torch.int64
    for i, pair in enumerate(pairs):
        for row, side, other in ((2 * i, pair.left, pair.right), (2 * i + 1, pair.right, pair.left)):
            length = len(side.tokens)
            assert batch.tokens[row, :length].tolist() == list(side.tokens)
            assert (batch.tokens[row, length:] == tokenizer.end_of_text).all()
            assert batch.position[row] == length - 1
            assert batch.answer[row] == side.answer_id
            assert batch.alternative[row] == other.answer_id


def completions(text: str) -> list[str]:
    """`text`, and ways to complete it where it breaks off: a body, closing brackets, both."""
    last = text.split("\n")[-1]
    indentation = " " * (len(last) - len(last.lstrip()) + 4)
    return [text, f"{text}\n{indentation}pass", f"{text}\n]", f"{text}\n}}"]


def test_both_sides_go_on_as_python(task: PosedTask) -> None:
    """With its answer and the code after it, each side of each template parses."""
    words = {name: splits["train"] for name, splits in common_pools().items()}
    for template in task.templates:
        for seed in range(4):
            for side in template.render(words, random.Random(seed)):
                text = side.prompt + (side.answer or "") + side.rest
                assert any(parses(code) for code in completions(text)), text


def parses(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def test_splits_share_no_prompt_and_no_identifiers(task: PosedTask) -> None:
    prompts: dict[str, set[str]] = {}
    names: dict[str, set[frozenset[str]]] = {}
    for split in SPLITS:
        sides = [side for seed in (0, 1) for pair in task.pairs(split, 64, seed) for side in (pair.left, pair.right)]
        prompts[split] = {side.prompt for side in sides}
        names[split] = {identifiers(side) for side in sides}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not prompts[one] & prompts[other]
        assert not names[one] & names[other]


def test_every_prompt_has_words_of_its_own_split_only(task: PosedTask) -> None:
    """But for the slots that a task fills from everywhere, which no other slot may stand in for."""
    shared = {word for slot in task.definition.everywhere for word in task.words("test")[slot]}
    home = {
        word: split
        for name, pools in common_pools().items()
        if name in NAMES
        for split, words in pools.items()
        for word in words
        if word not in shared
    }
    for split in SPLITS:
        for pair in task.pairs(split, 24, seed=5):
            strange = {home[name] for name in identifiers(pair.left) - FIXED if name in home} - {split}
            assert not strange, pair.left.prompt


def test_prompts_vary(task: PosedTask) -> None:
    """Many prompts, and their shapes (names and numbers left out) too, so that no circuit fits one surface."""
    pairs = task.pairs("train", 64, seed=0)
    assert len({pair.left.prompt for pair in pairs}) >= 60
    assert len({len(pair.left.tokens) for pair in pairs}) >= 8
    first_lines = Counter(pair.left.prompt.split()[0] for pair in pairs)
    assert len(first_lines) >= 2


def test_another_seed_gives_other_pairs(task: PosedTask) -> None:
    assert task.pairs("train", 16, seed=0) != task.pairs("train", 16, seed=1)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(TASKS),
    split=st.sampled_from(SPLITS),
    seed=st.integers(0, 2**40),
    short=st.integers(1, 6),
    longer=st.integers(0, 6),
)
def test_a_pair_depends_on_its_index_alone(
    tokenizer: Tokenizer, name: str, split: str, seed: int, short: int, longer: int
) -> None:
    few = eval_tasks.get_task(name, tokenizer).pairs(split, short, seed)
    many = eval_tasks.get_task(name, tokenizer).pairs(split, short + longer, seed)
    assert few == many[:short]


def test_pairs_stay_the_same_from_one_process_to_the_next(tokenizer: Tokenizer) -> None:
    """Words and their order are drawn without hashes: this prompt is the same everywhere."""
    side = eval_tasks.get_task("var_swap", tokenizer).pairs("test", 2, seed=0)[1].left
    assert side.prompt.split("\n")[-1].strip().count(",") == 2
    again = eval_tasks.get_task("var_swap", tokenizer).pairs("test", 2, seed=0)[1].left
    assert side == again


def test_swapped_names_are_those_of_the_line(tokenizer: Tokenizer) -> None:
    for pair in eval_tasks.get_task("var_swap", tokenizer).pairs("train", 16, seed=0):
        for side in (pair.left, pair.right):
            first, second = side.prompt.split("\n")[-1].split(" = ")[0].strip().split(", ")
            assert side.prompt.endswith(f"{first}, {second} = {second},")
            assert side.answer == f" {first}"


def test_class_init_wants_the_attribute_of_its_line(tokenizer: Tokenizer) -> None:
    for pair in eval_tasks.get_task("class_init", tokenizer).pairs("train", 16, seed=0):
        for side in (pair.left, pair.right):
            attribute = side.prompt.rsplit("self.", 1)[1].removesuffix(" =")
            assert side.answer == f" {attribute}"
            assert attribute in side.prompt.split("__init__(self, ")[-1].split("):")[0]


def test_bracket_counting_wants_as_many_brackets_as_are_open(tokenizer: Tokenizer) -> None:
    for pair in eval_tasks.get_task("bracket_counting", tokenizer).pairs("train", 16, seed=0):
        for side in (pair.left, pair.right):
            line = side.prompt.split("\n")[-1]
            assert side.answer == "]" * (line.count("[") - line.count("]")) + "\n"


def test_the_fixed_variable_is_current(tokenizer: Tokenizer) -> None:
    for pair in eval_tasks.get_task("set_or_string_fixedvarname", tokenizer).pairs("test", 16, seed=0):
        assert pair.left.prompt.endswith("current")
        assert "current = set()" in pair.left.prompt
        assert 'current = ""' in pair.right.prompt
