"""The tokenizer: ids agree with `tokenizers`, every text comes back, its file is checked, what tasks need is there."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsegpt2.errors import UserError
from sparsegpt2.text.corpus.tinypython import document
from sparsegpt2.text.tokenizer import END_OF_TEXT, Tokenizer
from sparsegpt2.text.train_tokenizer import train_tokenizer

SIGNS = ["')", '")', "=None", "):\n", "():\n", ".add", " +=", " as", "\n", ":", ",", "r", "w", "]", "]]", "]\n", "]]\n"]
SIGNS += [" in", "{", " {", '"{', "(f", " ==", " =", ":\n", "(", ")\n", "')\n", '")\n', ",\n", "',\n", "':", " '", ' "']
WORDS = [
    " enumerate",
    " range",
    " else",
    "elif",
    " lambda",
    " while",
    "while",
    " True",
    " set",
    "(self",
    " open",
    "print",
]
NAMES = [
    " size",
    "size",
    ".size",
    " items",
    "(items",
    " current",
    "current",
    " result",
    "_path",
    " name",
    "name",
    " text",
]
INDENTATIONS = [" " * 3, " " * 7, " " * 11, " " * 15]
"""Of 4, 8, 12 and 16 spaces: the last space goes with the word that follows."""


def corpus_texts() -> list[str]:
    library = Path(sysconfig.get_path("stdlib"))
    real = [(library / name).read_text(encoding="utf-8") for name in ("abc.py", "textwrap.py", "heapq.py")]
    return [document(1, index) for index in range(200)] + real


@pytest.mark.parametrize("text", SIGNS + WORDS + NAMES + INDENTATIONS)
def test_what_tasks_answer_with_is_one_token(tokenizer, text):
    assert tokenizer.single(text) is not None


def test_indentation_leaves_its_last_space_to_the_word(tokenizer):
    assert [tokenizer.token(id) for id in tokenizer.encode("if name:\n        return name\n")] == [
        "if", " name", ":\n", " " * 7, " return", " name", "\n"
    ]  # fmt: skip


def test_ids_are_those_of_tokenizers(tokenizer, tmp_path):
    import tokenizers

    reference = tokenizers.Tokenizer.from_file(str(tokenizer.save(tmp_path)))
    for text in corpus_texts():
        assert tokenizer.encode(text) == reference.encode(text).ids
    assert reference.token_to_id(END_OF_TEXT) == tokenizer.end_of_text
    ids = tokenizer.encode(corpus_texts()[0])
    assert reference.decode(ids) == tokenizer.decode(ids)


@given(text=st.text())
def test_every_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_batch_is_each_text_by_itself(tokenizer):
    texts = [*corpus_texts()[:20], ""]
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_end_of_text_is_last_and_never_written_by_a_text(tokenizer):
    assert tokenizer.vocab_size == 2048
    assert tokenizer.end_of_text == 2047
    assert tokenizer.decode([tokenizer.end_of_text]) == tokenizer.token(2047) == END_OF_TEXT
    ids = tokenizer.encode(f"a{END_OF_TEXT}b")
    assert tokenizer.end_of_text not in ids
    assert tokenizer.decode(ids) == f"a{END_OF_TEXT}b"


def test_single(tokenizer):
    assert tokenizer.decode([tokenizer.single(" return")]) == " return"
    assert tokenizer.single(" return return") is None
    assert tokenizer.single("") is None


def test_a_byte_that_is_no_text_is_shown_escaped(tokenizer):
    first = tokenizer.encode("\u00e9")[0]
    assert tokenizer.token(first) == "\\xc3"


def test_saved_and_loaded_it_is_the_same(tokenizer, tmp_path):
    path = tokenizer.save(tmp_path)
    assert path == tmp_path / "tokenizer.json"
    for source in (tmp_path, path):
        loaded = Tokenizer.load(source)
        assert loaded.fingerprint == tokenizer.fingerprint
        assert loaded.vocab_size == tokenizer.vocab_size
        assert loaded.encode(corpus_texts()[0]) == tokenizer.encode(corpus_texts()[0])


def test_the_fingerprint_tells_tokenizers_apart(tokenizer):
    other = train_tokenizer([document(5, index) for index in range(100)], vocab_size=500)
    assert other.fingerprint != tokenizer.fingerprint
    assert other.vocab_size == 500


def test_training_refuses_impossible_sizes():
    with pytest.raises(UserError, match="at least 257"):
        train_tokenizer(["text"], vocab_size=256)
    with pytest.raises(UserError, match=r"vocabulary of only \d+ tokens, not 1000"):
        train_tokenizer(["a short text"], vocab_size=1000)


def spoil(tokenizer: Tokenizer, folder: Path, change) -> Path:
    """A saved tokenizer with its JSON changed."""
    path = tokenizer.save(folder)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def drop_a_byte(content):
    del content["model"]["vocab"]["a"]


def drop_end_of_text(content):
    content["added_tokens"] = []


def drop_pattern(content):
    content["pre_tokenizer"] = {"type": "Whitespace"}


def scramble(content):
    content["model"]["merges"].reverse()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_a_byte, "lacks 1 of the 256 single bytes"),
        (drop_end_of_text, "end-of-text token"),
        (drop_pattern, "split pattern"),
        (scramble, "an order other than"),
    ],
)
def test_a_wrong_file_is_told(tokenizer, tmp_path, change, message):
    with pytest.raises(UserError, match=message):
        Tokenizer.load(spoil(tokenizer, tmp_path, change))


def test_a_missing_or_truncated_file_is_told(tokenizer, tmp_path):
    with pytest.raises(UserError, match=r"tokenizer\.json does not exist"):
        Tokenizer.load(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    path = tokenizer.save(tmp_path)
    path.write_text(path.read_text()[:1000])
    with pytest.raises(UserError, match="truncated"):
        Tokenizer.load(path)
    path.write_text("[]")
    with pytest.raises(UserError, match="byte-level BPE"):
        Tokenizer.load(path)


def test_runs_of_a_million_spaces_and_letters(tokenizer):
    for text in (" " * 1_100_000 + "x", "\t\n" * 600_000, "a" * 300_000):
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.encode_batch(["x", text, "y"]) == [tokenizer.encode(one) for one in ("x", text, "y")]
    assert train_tokenizer(["a" * 300_000 + " " * 300_000], 260).vocab_size == 260


def test_too_little_text_can_be_filled_up(tmp_path):
    import tokenizers

    filled = train_tokenizer(["one two"], 3_000, fill=True)
    assert filled.vocab_size == 3_000 and filled.end_of_text == 2_999
    assert filled.decode(filled.encode("one two, and \u00e9")) == "one two, and \u00e9"
    filled.save(tmp_path)
    assert Tokenizer.load(tmp_path).fingerprint == filled.fingerprint
    hugging_face = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert hugging_face.encode("one two, and \u00e9").ids == filled.encode("one two, and \u00e9")
    assert hugging_face.token_to_id("<|endoftext|>") == 2_999
