"""Prepared tokens: what stands in the shards, held-out documents, batches, restarts, and what is told when wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from itertools import islice, pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sparsegpt2.errors import UserError
from sparsegpt2.text import data as module
from sparsegpt2.text import shards
from sparsegpt2.text.corpus import CorpusConfig, open_corpus
from sparsegpt2.text.data import DataConfig, TokenData, prepare
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.windows import draw_windows, every_window, permuted, spread_windows

CONTEXT = 32


@pytest.fixture(scope="module")
def saved_tokenizer(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return str(folder)


@pytest.fixture(scope="module")
def config(saved_tokenizer):
    return DataConfig(tokens=60_000, held_out_fraction=0.1, tokenizer=saved_tokenizer)


@pytest.fixture(scope="module")
def data(config, tmp_path_factory):
    """Prepared data in several shards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "SHARD_TOKENS", 20_000)
        patch.setattr(module, "BATCH_BYTES", 10_000)
        return prepare(config, tmp_path_factory.mktemp("data") / "prepared", progress=False)


def split_tokens(data: TokenData, split: str) -> np.ndarray:
    names = [shard["file"] for shard in data.manifest["splits"][split]["shards"]]
    return np.concatenate([np.fromfile(data.directory / name, dtype="<u2") for name in names])


# --- What is written ------------------------------------------------------------------------------------------------


def test_shards_hold_every_document_once_behind_an_end_of_text(data):
    written = set()
    for split in ("train", "held_out"):
        text = data.tokenizer.decode(split_tokens(data, split).tolist())
        assert text.startswith("<|endoftext|>")
        documents = text.split("<|endoftext|>")[1:]
        assert len(documents) == data.manifest["splits"][split]["documents"]
        assert written.isdisjoint(documents)
        written |= set(documents)
    assert written == set(islice(open_corpus(CorpusConfig()).documents(0), len(written)))


def test_the_manifest_counts_what_is_there(data):
    for split, counts in data.manifest["splits"].items():
        tokens = split_tokens(data, split)
        assert counts["tokens"] == len(tokens) == data.tokens(split)
        assert counts["documents"] == (tokens == data.tokenizer.end_of_text).sum()
        text = data.tokenizer.decode(tokens.tolist())
        assert counts["bytes"] == len(text) - len("<|endoftext|>") * counts["documents"]
    assert data.manifest["tokenizer"] == data.tokenizer.fingerprint
    assert data.vocab_size == 2048
    assert data.tokens("train") >= 60_000
    assert len(data.manifest["splits"]["train"]["shards"]) == 3


def test_every_shard_begins_with_end_of_text(data):
    for shard in data.manifest["splits"]["train"]["shards"]:
        assert np.fromfile(data.directory / shard["file"], dtype="<u2")[0] == data.tokenizer.end_of_text


def test_the_held_out_share_is_as_asked(data):
    documents = {split: counts["documents"] for split, counts in data.manifest["splits"].items()}
    assert documents["held_out"] / sum(documents.values()) == pytest.approx(0.1, abs=0.02)


def test_each_corpus_of_a_mixture_gives_to_both_splits():
    def documents(seed):
        return iter([f"{name} {index} {'word ' * 9}" for index in range(1000) for name in ("a", "b")])

    source = SimpleNamespace(documents=documents)
    splits = list(module._split_documents(DataConfig(held_out_fraction=0.05), [(source, 1.0)]))
    for name in ("a", "b"):
        held_out = sum(split == "held_out" for split, text in splits if text.startswith(name))
        assert 45 <= held_out <= 55


def test_a_tokenizer_is_trained_where_none_is_given(tmp_path):
    config = DataConfig(tokens=5_000, held_out_fraction=0.2, vocab_size=600, tokenizer_bytes=50_000)
    data = prepare(config, tmp_path / "data", progress=False)
    assert data.vocab_size == data.tokenizer.vocab_size == 600
    assert split_tokens(data, "train").max() < 600


def test_the_same_settings_give_the_same_bytes(config, data, tmp_path):
    again = prepare(config, tmp_path / "data", progress=False)
    for split in ("train", "held_out"):
        assert (split_tokens(again, split) == split_tokens(data, split)).all()


# --- Doing it once, and again after an interruption -----------------------------------------------------------------


def test_nothing_is_done_when_nothing_changed(config, data, monkeypatch):
    monkeypatch.setattr(module, "_write", lambda *arguments: pytest.fail("prepared again"))
    assert prepare(config, data.directory, progress=False).manifest == data.manifest


@pytest.mark.parametrize("change", [{"tokens": 3_000}, {"seed": 1}, {"held_out_fraction": 0.3}])
def test_other_settings_prepare_anew(config, tmp_path, change):
    first = replace(config, tokens=2_000)
    before = prepare(first, tmp_path / "data", progress=False).manifest
    assert prepare(replace(first, **change), tmp_path / "data", progress=False).manifest != before


def test_changed_files_prepare_anew(config, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for index in range(40):
        (texts / f"{index}.txt").write_text(f"text number {index}")
    config = replace(config, corpora=[CorpusConfig(name="files", path=str(texts))])
    before = prepare(config, tmp_path / "data", progress=False)
    (texts / "0.txt").write_text("another and longer text")
    after = prepare(config, tmp_path / "data", progress=False)
    assert after.manifest["splits"] != before.manifest["splits"]


def test_an_interruption_leaves_the_old_data_and_no_litter(config, tmp_path, monkeypatch):
    directory = tmp_path / "data"
    before = prepare(replace(config, tokens=2_000), directory, progress=False).manifest
    monkeypatch.setattr(shards.ShardWriter, "finish", lambda writer: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        prepare(replace(config, tokens=3_000), directory, progress=False)
    assert TokenData(directory).manifest == before
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


def test_what_a_killed_run_left_is_cleared_away(config, tmp_path):
    leftover = tmp_path / ".data.0123abcd.tmp"
    leftover.mkdir()
    (leftover / "train-00000.bin").write_bytes(b"half")
    prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    assert not leftover.exists()


def test_what_a_process_killed_after_its_last_rename_left_is_cleared_away(config, tmp_path):
    prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    (tmp_path / ".data.lock").write_text("process 1 on another machine")
    shutil.copytree(tmp_path / "data", tmp_path / ".data.previous")
    prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


# --- Batches --------------------------------------------------------------------------------------------------------


def test_batches_are_a_function_of_seed_and_step(data):
    inputs, targets = data.batch("train", 7, 4, CONTEXT, seed=1)
    assert inputs.shape == targets.shape == (4, CONTEXT)
    assert inputs.dtype == targets.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    again = TokenData(data.directory).batch("train", 7, 4, CONTEXT, seed=1)
    assert torch.equal(again[0], inputs) and torch.equal(again[1], targets)
    assert not torch.equal(data.batch("train", 8, 4, CONTEXT, seed=1)[0], inputs)
    assert not torch.equal(data.batch("train", 7, 4, CONTEXT, seed=2)[0], inputs)


def test_larger_batches_hold_the_same_samples(data):
    whole, _ = data.batch("train", 3, 8, CONTEXT, seed=0)
    parts = [data.batch("train", step, 4, CONTEXT, seed=0)[0] for step in (6, 7)]
    assert torch.equal(torch.cat(parts), whole)


def test_windows_are_pieces_of_the_shards(data):
    tokens = split_tokens(data, "train").tobytes()
    inputs, targets = data.batch("train", 0, 16, CONTEXT, seed=0)
    windows = torch.cat([inputs, targets[:, -1:]], dim=1).numpy().astype("<u2")
    assert all(window.tobytes() in tokens for window in windows)


def test_held_out_batches_are_fixed_and_spread(data):
    batches = data.held_out(batch_size=3, context=CONTEXT, n_batches=4)
    assert [tuple(inputs.shape) for inputs, _ in batches] == [(3, CONTEXT)] * 4
    again = data.held_out(batch_size=3, context=CONTEXT, n_batches=4)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(batches, again, strict=True))
    tokens = torch.from_numpy(split_tokens(data, "held_out").astype(np.int64))
    assert torch.equal(batches[0][0][0], tokens[:CONTEXT])
    assert torch.equal(batches[0][1][0], tokens[1 : CONTEXT + 1])


def test_a_small_held_out_split_is_given_whole(data):
    batches = data.held_out(batch_size=50, context=CONTEXT, n_batches=1000)
    windows = (data.tokens("held_out") - 1) // CONTEXT
    assert sum(len(inputs) for inputs, _ in batches) == windows


# --- Windows --------------------------------------------------------------------------------------------------------


@given(size=st.integers(1, 500), key=st.integers(0, 2**64 - 1))
def test_permuted_is_a_permutation(size, key):
    index = np.arange(size, dtype=np.uint64)
    result = permuted(index, size, np.full(size, key, dtype=np.uint64))
    assert sorted(result.tolist()) == list(range(size))


def test_permuted_leaves_no_order():
    size = 1000
    index = np.arange(size, dtype=np.uint64)
    orders = [permuted(index, size, np.full(size, key, dtype=np.uint64)).astype(float) for key in range(20)]
    assert all(abs(np.corrcoef(order, index)[0, 1]) < 0.15 for order in orders)
    assert all(abs(np.corrcoef(one, other)[0, 1]) < 0.15 for one, other in pairwise(orders))


@given(lengths=st.lists(st.integers(6, 60), min_size=1, max_size=4), seed=st.integers(0, 99), epoch=st.integers(0, 3))
def test_an_epoch_uses_each_window_once_and_no_token_twice(lengths, seed, epoch):
    context = 5
    windows = sum(max((length - context) // context, 1) for length in lengths)
    samples = np.arange(epoch * windows, (epoch + 1) * windows, dtype=np.uint64)
    drawn = draw_windows(samples, lengths, context, seed)
    used = [(shard, start + offset) for shard, start in drawn.tolist() for offset in range(context)]
    assert len(set(used)) == len(used)
    assert all(start >= 0 and start + context + 1 <= lengths[shard] for shard, start in drawn.tolist())
    unused = sum(lengths) - len(used)
    assert unused <= 2 * context * len(lengths)


def test_epochs_differ_in_order_and_start():
    lengths, context, windows = [1000], 10, 99
    epochs = [np.arange(windows * epoch, windows * (epoch + 1), dtype=np.uint64) for epoch in range(5)]
    starts = [draw_windows(samples, lengths, context, seed=0)[:, 1] for samples in epochs]
    assert len({tuple(start // context) for start in starts}) == 5
    assert len({int(start[0] % context) for start in starts}) > 1


def test_windows_edge_to_edge_and_spread():
    windows = every_window([11, 25], context=5)
    assert windows.tolist() == [[0, 0], [0, 5], [1, 0], [1, 5], [1, 10], [1, 15]]
    assert spread_windows(windows, 3).tolist() == [[0, 0], [1, 0], [1, 10]]
    assert spread_windows(windows, 9).tolist() == windows.tolist()


# --- What is told ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"corpora": []}, "name at least one corpus"),
        ({"tokens": 0}, "must be at least 1"),
        ({"held_out_fraction": 0.0}, "between 0 and 1"),
        ({"held_out_fraction": 1.0}, "between 0 and 1"),
        ({"seed": -1}, "must not be negative"),
        ({"vocab_size": 2**16 + 1}, "at most 65536"),
    ],
)
def test_impossible_settings_are_told(settings, message):
    with pytest.raises(UserError, match=message):
        DataConfig(**settings)


def test_a_broken_tokenizer_is_told(tmp_path, tokenizer):
    path = tokenizer.save(tmp_path)
    path.write_text(path.read_text()[:500])
    with pytest.raises(UserError, match="truncated"):
        prepare(DataConfig(tokenizer=str(path)), tmp_path / "data", progress=False)
    assert not (tmp_path / "data").exists()


def of_file(config, path, text):
    path.write_text(text)
    return replace(config, corpora=[CorpusConfig(name="files", path=str(path))])


def test_an_empty_corpus_is_told(config, tmp_path):
    with pytest.raises(UserError, match=r"empty\.txt is empty"):
        prepare(of_file(config, tmp_path / "empty.txt", ""), tmp_path / "data", progress=False)
    assert not (tmp_path / "data").exists()


def test_a_lone_document_is_split(config, tmp_path):
    text = "".join(f"line number {i} of the only text\n" for i in range(500))
    data = prepare(of_file(config, tmp_path / "one.txt", text), tmp_path / "data", progress=False, window=CONTEXT + 1)
    parts = [
        data.tokenizer.decode(split_tokens(data, split).tolist()).removeprefix("<|endoftext|>")
        for split in ("train", "held_out")
    ]
    assert "".join(parts) == text and parts[0].endswith("\n") and 1_000 < len(parts[1]) < 3_000


def test_too_little_text_is_told_before_anything_is_tokenized(config, tmp_path, monkeypatch):
    monkeypatch.setattr(Tokenizer, "encode_batch", lambda *arguments: pytest.fail("tokenized"))
    little = of_file(config, tmp_path / "one.txt", "the only text is this")
    with pytest.raises(UserError, match=r"one\.txt: too little text: \d+ bytes .* needs 33 tokens.*--model\.context"):
        prepare(little, tmp_path / "data", progress=False, window=33)
    assert not (tmp_path / "data").exists()


def test_too_few_tokens_are_told_and_leave_nothing(config, tmp_path):
    of_one_token = of_file(config, tmp_path / "one.txt", " " * 10_000 + "x")  # many bytes, hardly any tokens
    with pytest.raises(UserError, match=r"too little text: \d+ tokens are left for .* needs 1500 tokens"):
        prepare(of_one_token, tmp_path / "data", progress=False, window=1_500)
    assert [path.name for path in tmp_path.iterdir()] == ["one.txt"]


def test_a_little_text_fills_its_tokenizer(tmp_path, capsys):
    small = DataConfig(tokens=60_000, vocab_size=1_000, corpora=[CorpusConfig(name="files", path=str(tmp_path / "a"))])
    (tmp_path / "a").write_text("one two three four\n" * 50)
    data = prepare(small, tmp_path / "data", window=5)
    assert data.tokenizer.vocab_size == 1_000 and split_tokens(data, "train").max() == data.tokenizer.end_of_text
    assert re.search(r"gives \d+ tokens; \d+ that no text has", capsys.readouterr().out)


def test_what_is_read_and_left_out_is_told_once_when_it_is_prepared(config, tmp_path, capsys):
    own = of_file(config, tmp_path / "one.txt", "some text\n" * 500)
    own = replace(own, corpora=[replace(own.corpora[0], path=str(tmp_path))])
    (tmp_path / ".hidden").write_text("x")
    prepare(own, tmp_path / "data" / "x")
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}: reads 1 file (1 as text); leaves out 1 hidden file (.hidden)"
    ]


@pytest.mark.parametrize("name", ["train-00000.bin", "held_out-00000.bin", "tokenizer.json", "manifest.json"])
def test_a_flipped_bit_is_told_and_names_its_file(config, tmp_path, name):
    directory = prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False).directory
    path = directory / name
    whole = path.read_bytes()
    for place in range(5, len(whole), len(whole) // 9):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UserError, match=f"{name}|the tokenizer in"):
            TokenData(directory)
    path.write_bytes(whole)
    TokenData(directory)


def test_data_of_earlier_versions_have_no_checksums_and_the_same_fingerprint(config, tmp_path):
    data = prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    manifest = json.loads((data.directory / "manifest.json").read_text())
    for key in ("files", "sha256"):
        del manifest[key]
    (data.directory / "manifest.json").write_text(json.dumps(manifest))
    assert prepare(replace(config, tokens=2_000), data.directory, progress=False).fingerprint == data.fingerprint


def test_prepared_data_are_used_without_writing_anything(config, tmp_path, monkeypatch):
    data = prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    monkeypatch.setattr(module, "locked_file", lambda *arguments, **options: pytest.fail("locked"))
    monkeypatch.setattr(module, "replacing_directory", lambda *arguments: pytest.fail("written"))
    assert prepare(replace(config, tokens=2_000), data.directory, progress=False).manifest == data.manifest


def test_prepared_data_are_used_on_a_disk_that_cannot_be_written(config, tmp_path, monkeypatch):
    data = prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False)
    (tmp_path / ".data.lock").write_text("left by a process that was killed before the disk became read-only")
    opened = os.open

    def read_only(path, flags, *more, **options):
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", read_only)
    assert prepare(replace(config, tokens=2_000), data.directory, progress=False).manifest == data.manifest


def test_a_directory_of_something_else_is_left_alone(config, tmp_path):
    (tmp_path / "thesis.txt").write_text("dear to someone")
    with pytest.raises(UserError, match="something other than prepared data"):
        prepare(config, tmp_path, progress=False)
    assert (tmp_path / "thesis.txt").exists()


def test_too_few_tokens_for_a_window_are_told(data):
    too_long = data.tokens("held_out")
    with pytest.raises(UserError, match=f"too few for a window of {too_long + 1}"):
        data.held_out(1, too_long, 1)
    with pytest.raises(UserError, match="the train split"):
        data.batch("train", 0, 1, 30_000, seed=0)


@pytest.fixture
def small(config, tmp_path):
    return prepare(replace(config, tokens=2_000), tmp_path / "data", progress=False).directory


def test_missing_data_are_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        TokenData(tmp_path / "nowhere")


def test_a_truncated_shard_is_told(config, small):
    shard = small / "train-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"train-00000\.bin has \d+ bytes, but its manifest says \d+: delete"):
        TokenData(small)
    with pytest.raises(UserError, match="delete"):
        prepare(replace(config, tokens=2_000), small, progress=False)
    shard.unlink()
    with pytest.raises(UserError, match="has 0 bytes"):
        TokenData(small)


def test_a_manifest_without_its_parts_is_told(small):
    manifest = json.loads((small / "manifest.json").read_text())
    del manifest["splits"]["held_out"]
    (small / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="lacks 'held_out'"):
        TokenData(small)


def test_another_tokenizer_beside_the_shards_is_told(small):
    path = small / "tokenizer.json"
    changed = json.loads(path.read_text())
    changed["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] += "|never"
    path.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="not the one that its shards were written with"):
        TokenData(small)
