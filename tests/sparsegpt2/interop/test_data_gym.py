"""vocab.bpe + encoder.json: what tiktoken reads of them, there and back."""

from __future__ import annotations

import json

import pytest
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks

from sparsegpt2 import UserError
from sparsegpt2.interop import data_gym
from sparsegpt2.text.corpus.tinypython import document
from sparsegpt2.text.tokenizer import SPLIT_PATTERN

TEXT = document(7, 3) + "\n'été' -> \t[1234, 'x']\r\n\x00"


@pytest.fixture
def published_ids(tokenizer):
    """The tokenizer numbered as GPT-2 numbers bytes: printable ones first; merges follow."""
    from sparsegpt2.text.tokenizer import Tokenizer

    letters = sorted(tokenizer.letters(), key=tokenizer.letters().__getitem__)
    single = sorted((one for one in letters if len(one) == 1), key=lambda one: (ord(one) > 255, ord(one)))
    return Tokenizer.from_letters({one: rank for rank, one in enumerate(single + letters[256:])})


def write(tokenizer, directory, names=("vocab.bpe", "encoder.json")):
    directory.mkdir(exist_ok=True)
    for name, text in zip(names, data_gym.files(tokenizer).values(), strict=True):
        (directory / name).write_text(text)
    return directory


def test_it_reads_what_tiktoken_reads(published_ids, tmp_path, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    directory = write(published_ids, tmp_path / "t")
    ranks = data_gym_to_mergeable_bpe_ranks(str(directory / "vocab.bpe"), str(directory / "encoder.json"))
    ours = data_gym.load(directory, SPLIT_PATTERN)
    assert ours.ranks == ranks and ours.end_of_text == 2047 and ours.vocab_size == 2048
    theirs = tiktoken.Encoding("theirs", pat_str=SPLIT_PATTERN, mergeable_ranks=ranks, special_tokens={})
    assert ours.encode(TEXT) == theirs.encode(TEXT) and ours.decode(ours.encode(TEXT)) == TEXT


@pytest.mark.parametrize("names", data_gym.NAMES)
def test_round_trip(tokenizer, tmp_path, names):
    back = data_gym.load(write(tokenizer, tmp_path / "t", names), SPLIT_PATTERN)
    assert back.fingerprint == tokenizer.fingerprint


def test_an_end_of_text_outside_the_table_comes_last(tokenizer, tmp_path):
    directory = write(tokenizer, tmp_path / "t")
    table = json.loads((directory / "encoder.json").read_text())
    del table["<|endoftext|>"]
    (directory / "encoder.json").write_text(json.dumps(table))
    assert data_gym.load(directory, SPLIT_PATTERN).end_of_text == 2047


def damage_merges(directory):
    lines = (directory / "vocab.bpe").read_text().split("\n")
    lines[5], lines[6] = lines[6], lines[5]
    (directory / "vocab.bpe").write_text("\n".join(lines))


def damage_table(directory):
    table = json.loads((directory / "encoder.json").read_text())
    table["\n"] = table.pop("a")
    (directory / "encoder.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_merges, "do not match"),
        (damage_table, "represents no byte"),
        (lambda directory: (directory / "vocab.bpe").write_text("#version: 0.2\n"), "do not match"),
        (lambda directory: (directory / "vocab.bpe").unlink(), "vocab.bpe does not exist"),
        (lambda directory: (directory / "encoder.json").unlink(), "encoder.json does not exist"),
        (lambda directory: (directory / "encoder.json").write_text('{"a": 0,'), "not valid JSON"),
        (lambda directory: (directory / "encoder.json").write_text("[1]"), "no table from tokens to ids"),
        (lambda directory: (directory / "vocab.bpe").write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
    ],
)
def test_damage_is_one_sentence(tokenizer, tmp_path, damage, sentence):
    directory = write(tokenizer, tmp_path / "t")
    damage(directory)
    with pytest.raises(UserError, match=sentence):
        data_gym.load(directory, SPLIT_PATTERN)
