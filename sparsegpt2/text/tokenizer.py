"""Byte-level BPE, run by `tiktoken` and stored as a standard Hugging Face `tokenizer.json`.

A tokenizer is a table from byte strings to ranks. A pattern splits the text into pieces. In each piece the adjacent
pair whose joined bytes have the lowest rank is merged, until the joined bytes of no pair are in the table. Ids are
ranks. End of text has an id of its own, by default the one after the largest rank.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import tiktoken

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json, write_text
from sparsegpt2.locate import TOKENIZER, tokenizer_file
from sparsegpt2.plain import check, reading, shown

END_OF_TEXT = "<|endoftext|>"
MOST_IDS = 2**24
"""The largest number of ids of a tokenizer. Published vocabularies have fewer than 2**18."""
PROBE = "def f(self):\n    return 'é' + 12.5  # \t日本\r\n\n\n"
"""A split pattern must split this text without losing any part of it."""

SPLIT_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?\p{L}+"  # a word with at most one sign or space before it: ` name`, `.add`, `(self`, `=None`
    r"|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*"  # signs, with a line end that follows them: `):\n`, `')\n`, ` +=`
    r"|\s*[\r\n]+"
    r"|\s+(?!\S)"  # indentation except its last space, which belongs to the next word: of 4 spaces, 3
    r"|\s+"
)
"""How text is split before merging: the pattern of the tokenizer published with Gao et al. 2025 (arXiv 2511.13653)."""

LONGEST_RUN = 2**16
"""Characters. A longer run of white space is cut before it is encoded, because `tiktoken` crashes on a run of a
million spaces."""


class Tokenizer:
    """A byte-level BPE, run as a `tiktoken` Encoding.

    `vocab_size` counts all ids, including end of text. `fingerprint` is the sha256 (hex) of the file `save` writes.
    """

    def __init__(self, ranks: dict[bytes, int], pattern: str = SPLIT_PATTERN, end_of_text: int | None = None) -> None:
        """`UserError` for `ranks` that lack a single byte, and for an `end_of_text` that is another token's id.

        ranks: token bytes -> id, where ids follow the order of merging; must include all 256 single bytes.
        end_of_text: an id that is not in `ranks`; None: the id after the largest.
        """
        self.ranks = ranks
        self.pattern = pattern
        self.end_of_text = max(ranks.values(), default=0) + 1 if end_of_text is None else end_of_text
        missing = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if missing:
            raise UserError(f"the tokenizer lacks {len(missing)} of the 256 single bytes: it cannot encode every text")
        if self.end_of_text in ranks.values():
            raise UserError(f"the tokenizer's end of text has id {self.end_of_text}, which is another token's id")
        ids = {*ranks.values(), self.end_of_text}
        if len(ids) <= len(ranks) or min(ids) < 0 or max(ids) >= MOST_IDS:
            raise UserError(
                f"the tokenizer's ids must all differ and be from 0 to {MOST_IDS - 1}, but the smallest is "
                f"{min(ids)}, the largest {max(ids)}, and {len(ranks) + 1} tokens have {len(ids)} ids"
            )
        self.vocab_size = max(ids) + 1
        self._encoding = _encoding(ranks, pattern, self.end_of_text)
        self._file_text = json.dumps(_to_file(ranks, pattern, self.end_of_text), ensure_ascii=False, indent=1) + "\n"
        self.fingerprint = hashlib.sha256(self._file_text.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Tokenizer({self.vocab_size:,} tokens, end of text {self.end_of_text}, {self.fingerprint[:12]})"

    def encode(self, text: str) -> list[int]:
        """Ids of `text`. The characters `<|endoftext|>` in it are ordinary text."""
        parts = cut_runs(text, LONGEST_RUN, r"\s")
        with _no_panic(self.pattern):
            return [id for part in parts for id in self._encoding.encode_ordinary(part)]

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """The ids of each text, as `encode` gives them, computed on all cores."""
        parts = [cut_runs(text, LONGEST_RUN, r"\s") for text in texts]
        every = [part for text in parts for part in text]
        with _no_panic(self.pattern):
            encoded = iter(self._encoding.encode_ordinary_batch(every, num_threads=os.cpu_count() or 1))
        return [[id for _ in text for id in next(encoded)] for text in parts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`. End of text decodes to `<|endoftext|>`, and bytes that are not UTF-8 to U+FFFD.

        An id that no token has, as in a vocabulary padded to a round size, decodes to `<unused 300>`.
        """
        ids = list(ids)
        try:
            return self._encoding.decode(ids)
        except (KeyError, OverflowError):
            return b"".join(map(self._bytes, ids)).decode("utf-8", errors="replace")

    def token(self, id: int) -> str:
        """The text of one token; bytes that are not UTF-8 are shown escaped, as in `\\xe2`."""
        return self._bytes(id).decode("utf-8", errors="backslashreplace")

    def _bytes(self, id: int) -> bytes:
        try:
            return self._encoding.decode_single_token_bytes(id)
        except (KeyError, OverflowError):
            return f"<unused {id}>".encode()

    def single(self, text: str) -> int | None:
        """The id of `text` if it is exactly one token, else None."""
        ids = self.encode(text)
        return ids[0] if len(ids) == 1 else None

    def save(self, directory: str | Path) -> Path:
        """Write `directory/tokenizer.json` in one step, and return its path."""
        path = Path(directory) / TOKENIZER
        write_text(path, self._file_text)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a `tokenizer.json`: the file itself, or the one in a folder, a run, `zoo:NAME` or `hf:user/name`.

        `UserError` if the file is missing, damaged or of another kind of tokenizer.
        """
        path = tokenizer_file(path)
        content = read_json(path, "tokenizer")
        with reading(f"tokenizer {path}", "it must be a byte-level BPE with a split pattern and an end-of-text token"):
            ranks, pattern, end_of_text = _from_file(content)
            if not _merges_follow_ids(content["model"]["merges"], content["model"]["vocab"]):
                raise UserError(f"tokenizer {path} numbers its tokens in an order other than that of its merges")
            return cls(ranks, pattern, end_of_text)

    @classmethod
    def from_letters(
        cls, vocab: dict[str, int], pattern: str = SPLIT_PATTERN, end_of_text: int | None = None
    ) -> Tokenizer:
        """A tokenizer from the table in a byte-level BPE file, which writes each byte as one printable letter."""
        return cls({_to_bytes(letters): rank for letters, rank in vocab.items()}, pattern, end_of_text)

    def letters(self) -> dict[str, int]:
        """The table that `from_letters` reads, without end of text."""
        return {_to_letters(token): rank for token, rank in self.ranks.items()}


def _encoding(ranks: dict[bytes, int], pattern: str, end_of_text: int) -> tiktoken.Encoding:
    """The Encoding; `UserError` for a pattern that is no regular expression, or that drops text between its matches."""
    with _no_panic(pattern):
        try:
            made = tiktoken.Encoding(
                "sparsegpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={END_OF_TEXT: end_of_text}
            )
        except (ValueError, OverflowError) as error:
            reason = str(error).split("\n")[-1][:100]
            raise UserError(f"the tokenizer's split pattern {shown(pattern)} cannot be used ({reason})") from None
        if made.decode(made.encode_ordinary(PROBE)) != PROBE:
            raise UserError(f"the tokenizer's split pattern {shown(pattern)} leaves out parts of a text")
        return made


@contextmanager
def _no_panic(pattern: str) -> Iterator[None]:
    """Turn a panic of the Rust library into a `UserError`. It panics if a pattern takes too long on a text.

    In Python a panic is a `BaseException`, but not an `Exception`.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise UserError(f"the tokenizer's split pattern {shown(pattern)} cannot split this text") from None


def cut_runs(text: str, longest: int, *kinds: str) -> list[str]:
    """The text in parts, cut so that no run of more than `longest` characters of one kind remains.

    kinds: regular expressions, each of which matches any one character of a kind. By default there are two kinds: white
    space and everything else.
    """
    if len(text) <= longest:
        return [text]
    cuts = {0, len(text)}
    for kind in kinds or (r"\s", r"\S"):
        for run in re.finditer(rf"(?<!{kind}){kind}{{{longest + 1},}}", text):
            cuts.update(range(run.start(), run.end(), longest))
    places = sorted(cuts)
    return [text[begin:end] for begin, end in pairwise(places)]


# --- The file -------------------------------------------------------------------------------------------------------


def _byte_letters() -> dict[int, str]:
    """Byte -> the printable letter that byte-level BPE files use for it (GPT-2's `bytes_to_unicode`)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = {byte: chr(byte) for byte in printable}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(printable))
    return letters


_LETTER_OF_BYTE = _byte_letters()
_BYTE_OF_LETTER = {letter: byte for byte, letter in _LETTER_OF_BYTE.items()}


def _to_letters(token: bytes) -> str:
    return "".join(_LETTER_OF_BYTE[byte] for byte in token)


def _to_bytes(letters: str) -> bytes:
    return bytes(_BYTE_OF_LETTER[letter] for letter in letters)


def _all_merges(ranks: dict[bytes, int]) -> list[list[str]]:
    """Every way to make each token from two others, lowest rank first.

    `tiktoken` merges any adjacent pair that joins to a token. With only one merge listed for each token, `tokenizers`
    would miss some of these merges, and the two libraries would sometimes disagree.
    """
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        for cut in range(1, len(token)):
            if token[:cut] in ranks and token[cut:] in ranks:
                merges.append([_to_letters(token[:cut]), _to_letters(token[cut:])])
    return merges


def _to_file(ranks: dict[bytes, int], pattern: str, end_of_text: int) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    special = {"id": end_of_text, "content": END_OF_TEXT, "special": True, "normalized": False}
    ordered = sorted(ranks.items(), key=lambda item: item[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**special, "single_word": False, "lstrip": False, "rstrip": False}],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {_to_letters(token): rank for token, rank in ordered},
            "merges": _all_merges(ranks),
        },
    }


def _from_file(content: dict[str, Any]) -> tuple[dict[bytes, int], str, int]:
    """(bytes of each token -> id, split pattern, id of end of text).

    For a file of another kind it raises any exception, which `reading` in `load` turns into a `UserError`.
    """
    model, added = check(content["model"], dict[str, Any], "model"), content["added_tokens"]
    vocab: dict[str, int] = check(model["vocab"], dict[str, int], "vocab")
    check(added, list[dict[str, Any]], "added_tokens")
    end_of_text = check(
        next((one["id"] for one in added if one["content"] == END_OF_TEXT), None), int, "the end-of-text id"
    )
    special = {check(one["content"], str, "the text of an added token") for one in added}
    ranks = {_to_bytes(letters): rank for letters, rank in vocab.items() if letters not in special}
    pre_tokenizer = check(content["pre_tokenizer"], dict[str, Any], "pre_tokenizer")
    steps = check(pre_tokenizer.get("pretokenizers", [pre_tokenizer]), list[dict[str, Any]], "pretokenizers")
    splits = [check(step["pattern"]["Regex"], str, "the pattern") for step in steps if step["type"] == "Split"]
    if model.get("type") != "BPE" or content.get("normalizer") is not None or len(splits) != 1:
        raise UserError("its text is normalised first, or split by other rules than one pattern")
    return ranks, splits[0], end_of_text


def _merges_follow_ids(merges: list[Any], vocab: dict[str, int]) -> bool:
    """Whether each merge makes a token whose id is no lower than that of the merge before.

    Only then can ids serve as ranks.
    """
    last = -1
    for merge in check(merges, list[str | list[str]], "merges"):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        made = vocab.get(left + right, -1)
        if made < last:
            return False
        last = made
    return True
