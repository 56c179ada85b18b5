"""Which documents are held out: always some, the same ones for the same documents, never all."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegpt2.text import split as module
from sparsegpt2.text.split import first_of, split_documents


def parts(texts, share=0.01, tokens=10**9):
    found = {"train": [], "held_out": []}
    for split, text in split_documents(iter(texts), share, tokens):
        found[split].append(text)
    return found


@given(
    texts=st.lists(st.text("ab \n", min_size=1, max_size=60), min_size=1, max_size=40),
    share=st.floats(0.001, 0.99),
    tokens=st.integers(1, 3_000),
)
def test_both_parts_get_something_and_nothing_is_lost(texts, share, tokens):
    if sum(map(len, texts)) < 2:
        return
    pieces = list(split_documents(iter(texts), share, tokens))
    assert {split for split, _ in pieces} == {"train", "held_out"} and all(text for _, text in pieces)
    assert sum(len(text) for _, text in pieces) == sum(map(len, texts))
    read = end = 0
    for split, text in pieces:  # something is held out before training has all its tokens
        if split == "held_out":
            end = read
            break
        read += len(text) + 1
    assert end <= tokens


def test_documents_are_spread_evenly_where_there_are_enough():
    texts = [f"{index} {'x' * 500}" for index in range(2_000)]
    held_out = [int(text.split()[0]) for text in parts(texts, 0.02)["held_out"]]
    assert 38 <= len(held_out) <= 42
    assert max(b - a for a, b in pairwise(held_out)) < 150


@pytest.mark.parametrize("count", [2, 3, 5, 28, 66])
def test_of_few_documents_some_are_held_out_but_not_much(count):
    found = parts(["word " * 5_000 for _ in range(count)])
    share = sum(map(len, found["held_out"])) / (count * 25_000)
    assert 0.01 <= share <= 0.26 and found["train"]


def test_the_end_of_a_lone_document_is_held_out_after_a_line():
    text = "a line of text\n" * 10_000
    found = parts([text])
    assert found["train"][0].endswith("\n") and found["train"][0] + found["held_out"][0] == text
    assert 4_096 <= len(found["held_out"][0]) <= 8_192
    assert len(parts(["x" * 1_000_000])["held_out"][0]) == 10_000


def test_a_long_corpus_is_read_no_further_than_needed(monkeypatch):
    monkeypatch.setattr(module, "LOOK", 10_000)
    given = iter(["x" * 1_000] * 100)
    assert next(split_documents(given, 0.5, 10**9))
    assert len(list(given)) > 80
    given = iter(["x" * 1_000] * 100)
    assert min(first_of(split_documents(given, 0.3, 10**9), 50).values()) >= 50
    assert len(list(given)) > 80
