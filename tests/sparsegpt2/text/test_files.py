"""The corpus of own files: every format, compression and encoding; what is left out, and what is said about it."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import random
import shutil
from collections import Counter

import pyarrow
import pyarrow.parquet
import pytest

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus import CorpusConfig, open_corpus
from sparsegpt2.text.files import decode

NOISE = random.Random(0).randbytes(9_000)
TEXTS = [f"text number {i}: caf\u00e9\nand a second line" for i in range(5)]


def corpus_at(path, **settings):
    return open_corpus(CorpusConfig(name="files", path=str(path), **settings))


def read(path, seed=0, **settings):
    return list(corpus_at(path, **settings).documents(seed))


def jsonl(field="text"):
    return "".join(json.dumps({"id": i, field: text}) + "\n" for i, text in enumerate(TEXTS)).encode()


def table(field="text", separator=","):
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows([["id", field], *enumerate(TEXTS)])
    return out.getvalue().encode()


def parquet(field="text"):
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"id": list(range(5)), field: TEXTS}), out)
    return out.getvalue()


def zstd(content):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.output_stream(sink, compression="zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
FORMATS = {
    "a.jsonl": jsonl(),
    "a.ndjson": jsonl("content"),
    "a.json": json.dumps([{"text": text} for text in TEXTS], indent=1).encode(),
    "b.json": jsonl(),
    "a.csv": table("code"),
    "semicolon.csv": table("Text", ";"),
    "a.tsv": table("body", "\t"),
    "a.parquet": parquet("document"),
}


# --- Formats --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("name", FORMATS)
def test_records_of_every_format_and_compression(tmp_path, name, suffix):
    (tmp_path / (name + suffix)).write_bytes(COMPRESS[suffix](FORMATS[name]))
    assert sorted(read(tmp_path / (name + suffix))) == TEXTS
    assert sorted(read(tmp_path)) == TEXTS


@pytest.mark.parametrize("compress", COMPRESS.values())
def test_the_content_says_what_a_file_is_not_its_name(tmp_path, compress):
    (tmp_path / "noname").write_bytes(compress(jsonl()))
    (tmp_path / "wrong.txt").write_bytes(compress(parquet()))
    (tmp_path / "plain.xyz").write_bytes(compress(b"just text\n"))
    assert Counter(read(tmp_path)) == Counter([*TEXTS, *TEXTS, "just text\n"])


def test_another_field_and_fields_that_are_missing_in_some_rows(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(jsonl("words") + b'{"words": null}\n\n{"id": 3}\n{"words": "\\ud800 half"}\n')
    corpus = corpus_at(tmp_path / "a.jsonl", text_field="words")
    assert sorted(corpus.documents(0)) == sorted([*TEXTS, "\ufffd half"])
    assert "rows without text in the field 'words' are skipped: 1 file (a.jsonl)" in corpus.notes()[-1]


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", jsonl("w")), ("a.csv", table("w")), ("a.parquet", parquet("w"))]
)
def test_a_missing_field_is_told_with_those_there_are_and_the_flag(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "README.md").write_text("a few words")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(UserError, match=r"has no field text or .*, but id, w; .*--data\.text_field NAME"):
            read(path)
    (tmp_path / "README.md").write_text("a few words\n" * 1_000)  # now the table is a stray
    corpus = corpus_at(tmp_path)
    assert len(list(corpus.documents(0))) == 1 and "1 table without a field of text" in corpus.notes()[0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'null\n{"text": "x"}\n', "line 1 is not a JSON record"),  # ended the process in pyarrow
        ("a.jsonl", b'{"text": "whole"}\n{"text": ', "line 2 is not a JSON record"),
        ("a.jsonl", b"[" * 100_000, "line 1 is not a JSON record"),
        ("a.parquet", b'{"text": "whole"}', "not a parquet file, or damaged"),
        ("a.parquet", parquet()[:-30], "not a parquet file, or damaged"),
        ("a.txt.gz", gzip.compress(b"text" * 1_000)[:-9], "damaged or cut off"),
        ("a.xz", lzma.compress(NOISE)[:-99], "damaged or cut off"),
        ("a.zst", zstd(NOISE)[:-99], "damaged or cut off|not text"),
    ],
    ids=["null", "cut-line", "deep", "json", "cut-parquet", "cut-gz", "cut-xz", "cut-zst"],
)
def test_a_broken_file_is_one_sentence(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as told:
        read(tmp_path / name)
    assert "\n" not in str(told.value) and name in str(told.value)


# --- Encodings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfa = 1\n", "a = 1\n"),
        ("h\u00e9llo\n".encode("utf-16"), "h\u00e9llo\n"),
        ("hello there, you".encode("utf-16-be"), "hello there, you"),
        ("h\u00e9llo".encode("utf-32"), "h\u00e9llo"),
        ("caf\u00e9 d\u00e9j\u00e0 vu".encode("latin-1"), "caf\u00e9 d\u00e9j\u00e0 vu"),
        (b"\x93quoted\x94", "\u201cquoted\u201d"),
        ("\u65e5\u672c\u8a9e".encode(), "\u65e5\u672c\u8a9e"),
        (("\u00e9\u00e8 " * 300).encode() + b"\xff", "\u00e9\u00e8 " * 300 + "\ufffd"),
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
    ],
)
def test_texts_of_every_encoding(tmp_path, content, text, monkeypatch):
    (tmp_path / "a.txt").write_bytes(content)
    assert read(tmp_path) == [text]
    (tmp_path / "a.txt").write_bytes(b'{"text": 1}')
    (tmp_path / "a.txt").write_bytes(gzip.compress(content))
    assert read(tmp_path) == [text]


def test_a_text_that_is_read_in_pieces_is_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "CHUNK", 7)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "latin-1"):
        text = "only ascii at first, then \u00e9\u00e8\u00ea and more\n" * 3
        (tmp_path / "a.txt").write_bytes(text.replace("\n", "\r\n").encode(encoding))
        assert read(tmp_path) == [text], encoding


@pytest.mark.parametrize(
    "content",
    [NOISE, b"a\x00b" * 100, ("\u65e5\u672c\u8a9e" * 99).encode("shift-jis"), b"\x89PNG\x00"],
    ids=["noise", "zeros", "shift-jis", "png"],
)
def test_what_is_no_text_is_refused_alone_and_counted_in_a_folder(tmp_path, content):
    (tmp_path / "a.dat").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.dat is not text"):
        read(tmp_path / "a.dat")
    with pytest.raises(UserError, match=r"holds no file with text; left out: 1 binary or undecodable file \(a\.dat\)"):
        read(tmp_path)
    (tmp_path / "b.py").write_text("b = 1\n")
    corpus = corpus_at(tmp_path)
    assert list(corpus.documents(0)) == ["b = 1\n"]
    assert corpus.notes() == [f"{tmp_path}: reads 1 file (1 as text); leaves out 1 binary or undecodable file (a.dat)"]


def test_a_beginning_of_text_does_not_make_a_text(tmp_path):
    (tmp_path / "a.sh").write_bytes(b"echo unpacking\n" * 5_000 + NOISE * 20)
    (tmp_path / "b.py").write_text("b = 1\n")
    corpus = corpus_at(tmp_path)
    assert list(corpus.documents(0)) == ["b = 1\n"]
    assert "only the beginning is text: 1 file (a.sh)" in corpus.notes()[-1]


# --- Which files ----------------------------------------------------------------------------------------------------


def test_hidden_vendored_and_environment_folders_and_settings_are_left_out_aloud(tmp_path):
    for name in (
        ".git/config",
        ".vscode/settings.json",
        ".venv/lib/a.py",
        "node_modules/a.js",
        "src/__pycache__/a.py",
        "build/a.py",
        "env/pyvenv.cfg",
        "env/a.py",
        ".hidden.py",
        "package.json",
        "notebook.ipynb",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"name": "x"}')
    (tmp_path / "empty.py").touch()
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    for name in ("src/a.py", "Makefile", "conf.toml"):
        (tmp_path / name).write_text(name)
    corpus = corpus_at(tmp_path)
    assert sorted(corpus.documents(0)) == ["Makefile", "conf.toml", "src/a.py"]
    (line,) = corpus.notes()
    for part in (
        "reads 3 files (3 as text); leaves out ",
        "6 hidden or vendored folders (such as .git)",
        "1 hidden file (.hidden.py)",
        "1 environment or cache (env)",
        "2 JSON files without records of text (such as notebook.ipynb)",
        "1 empty file (empty.py)",
        "1 broken link or special file (broken)",
        "1 linked folder (loop)",
    ):
        assert part in line
    assert read(tmp_path / "build") == ['{"name": "x"}']  # what is named is read


def test_patterns(tmp_path):
    for name in ("a/b.py", "a/b.txt", "node_modules/c.py", "a/[1].py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert sorted(read(tmp_path / "**" / "*.py")) == ["a/[1].py", "a/b.py"]
    assert read(tmp_path / "node_modules" / "*.py") == ["node_modules/c.py"]
    assert read(tmp_path / "a" / "[1].py") == ["a/[1].py"]
    assert len(read(tmp_path / "a*")) == 3
    with pytest.raises(
        UserError, match=r"holds no file with text; left out: 1 hidden or vendored folder \(node_modules\)"
    ):
        read(tmp_path / "**" / "c.py")
    with pytest.raises(UserError, match="neither a file, nor a folder, nor a pattern"):
        read(tmp_path / "nowhere")
    with pytest.raises(UserError, match="needs a path"):
        open_corpus(CorpusConfig(name="files"))


def test_smaller_documents(tmp_path):
    (tmp_path / "a.py").write_text("one\ntwo\n\nthree\n")
    assert read(tmp_path / "a.py", sample_by="line") == ["one", "two", "three"]
    assert read(tmp_path / "a.py", sample_by="paragraph") == ["one\ntwo", "three\n"]


def test_a_very_long_text_is_read_in_parts(tmp_path, monkeypatch):
    from sparsegpt2.text.corpus import files

    monkeypatch.setattr(files, "LONGEST", 100)
    monkeypatch.setattr(decode, "CHUNK", 64)
    text = "a line of text\n" * 50
    (tmp_path / "a.txt").write_text(text)
    parts = read(tmp_path)
    assert "".join(parts) == text and len(parts) > 3 and all(part.endswith("\n") for part in parts)


# --- The order ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixture(tmp_path):
    """Texts, JSON lines, CSV and parquet of about the same number of bytes, each document marked with its kind."""
    folder = tmp_path / "mixture"
    folder.mkdir()
    texts = [f"{i:04d} " + "word " * 20 for i in range(200)]
    for i, text in enumerate(texts):
        (folder / f"t{i}.txt").write_text(f"text {text}")
    rows = [{"text": f"json {text}"} for text in texts]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (folder / "b.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([f"csv {text}"] for text in texts)])
    column = {"text": [f"parquet {text}" for text in texts]}
    pyarrow.parquet.write_table(pyarrow.table(column), folder / "c.parquet", compression="none", use_dictionary=False)
    return folder


def test_a_budget_cuts_every_kind_alike(mixture):
    texts = read(mixture)
    assert len(set(texts)) == 800
    kinds = Counter(text.split()[0] for text in texts[:200])
    assert all(40 <= kinds[kind] <= 60 for kind in ("text", "json", "csv", "parquet"))


def test_the_order_depends_only_on_seed_names_and_contents(mixture, tmp_path, monkeypatch):
    texts = read(mixture)
    assert read(mixture) == texts != read(mixture, seed=1)
    shutil.copytree(mixture, tmp_path / "elsewhere" / "copy")
    assert read(tmp_path / "elsewhere" / "copy") == texts
    walk = os.walk

    def backwards(*arguments, **options):
        return ((here, folders[::-1], names[::-1]) for here, folders, names in walk(*arguments, **options))

    monkeypatch.setattr(os, "walk", backwards)
    assert read(mixture) == texts


def test_files_that_change_have_another_identity_and_files_left_out_do_not_matter(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    before = corpus_at(tmp_path).identity()
    (tmp_path / ".hidden").write_text("x")
    assert corpus_at(tmp_path).identity() == before
    (tmp_path / "a.txt").write_text("another")
    assert corpus_at(tmp_path).identity() != before
