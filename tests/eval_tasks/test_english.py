"""Tasks in English: posed with a tokenizer that has their words, cut as GPT-2's is."""

from __future__ import annotations

import re

import pytest

import eval_tasks
from eval_tasks.registry import ENGLISH, TASKS, describe, task_names
from sparsegpt2.circuits.task import SPLITS
from sparsegpt2.text.tokenizer import Tokenizer

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@pytest.fixture(scope="module")
def english() -> Tokenizer:
    """Every word of the tasks is a token with the space before it, and every number of two digits is one."""
    words = {" he", " she", " 17"}
    for name in task_names(ENGLISH):
        task = TASKS.named(name).thing
        for line in task.words.splitlines():
            words |= set() if line.startswith("[") else {f" {word}" for word in line.split() if word.isalpha()}
        words |= {f" {word}" for word in re.findall(r"(?<![$\w])[A-Za-z]+", task.templates)}
    ranks = {bytes([byte]): byte for byte in range(256)}
    for word in [*sorted(words), *(f"{number:02d}" for number in range(100))]:
        for length in range(2, len(word.encode()) + 1):
            ranks.setdefault(word.encode()[:length], len(ranks))
    return Tokenizer(ranks, pattern=GPT2_PATTERN)


def test_all_can_be_posed_with_english_words_and_none_without(english, tokenizer):
    assert task_names(ENGLISH) == ["gendered_pronoun", "greater_than", "ioi"]
    assert [entry.reason for entry in describe(english, 1, task_names(ENGLISH))] == [None] * 3
    assert all(entry.reason for entry in describe(tokenizer, 1, task_names(ENGLISH)))
    assert not set(task_names()) & set(task_names(ENGLISH))


@pytest.mark.parametrize("name", ["gendered_pronoun", "greater_than", "ioi"])
def test_pairs_differ_in_one_token_and_splits_share_no_prompt(english, name):
    task = eval_tasks.get_task(name, english)
    assert len(task.templates) >= 2
    prompts = {}
    for split in SPLITS:
        pairs = task.pairs(split, 24, seed=0)
        for pair in pairs:
            assert sum(a != b for a, b in zip(pair.left.tokens, pair.right.tokens, strict=True)) == 1
            assert pair.left.answer != pair.right.answer
        prompts[split] = {side.prompt for pair in pairs for side in (pair.left, pair.right)}
    assert not prompts["train"] & prompts["test"] and not prompts["train"] & prompts["validation"]


def test_the_receiver_is_the_person_named_once(english):
    for pair in eval_tasks.get_task("ioi", english).pairs("test", 16, seed=0):
        for side in (pair.left, pair.right):
            assert side.prompt.count(side.answer) == 1
        for side, other in ((pair.left, pair.right), (pair.right, pair.left)):
            assert len(re.findall(rf"\b{other.answer.strip()}\b", side.prompt)) == 2


def test_years_are_right_and_wrong_by_their_size(english):
    task = eval_tasks.get_task("greater_than", english)
    batch = task.batch("train", 16, seed=0)
    for row, side in enumerate(side for pair in task.pairs("train", 16, 0) for side in (pair.left, pair.right)):
        start = int(re.search(r"17(\d\d)", side.prompt)[1])
        right, wrong = (int(english.token(int(column[row]))) for column in (batch.answer, batch.alternative))
        assert wrong < start < right
