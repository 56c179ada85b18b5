"""Tokenizer files in the style of GPT-2: a list of merges and a table of ids (`vocab.bpe` and `encoder.json`).

Hugging Face calls the same files `merges.txt` and `vocab.json`. tiktoken's `data_gym_to_mergeable_bpe_ranks` is not
used because it caches local files by path, and keeps using the cached copy after the file has changed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.plain import fits, read_text
from sparsegpt2.text.tokenizer import END_OF_TEXT, Tokenizer

NAMES = (("vocab.bpe", "encoder.json"), ("merges.txt", "vocab.json"))
"""Possible file names of (merges, ids)."""


def load(directory: str | Path, pattern: str) -> Tokenizer:
    """The tokenizer in `directory`. pattern: regular expression that splits text before merging.

    `UserError` for missing files, and for merges and ids that do not match.
    """
    merges_file, ids_file = find(directory)
    ids = read_json(ids_file, "tokenizer")
    lines = read_text(merges_file, "tokenizer").split("\n")
    if lines[0].startswith("#version"):
        del lines[0]
    merges = [line.split(" ") for line in lines if line]
    return from_merges(merges, ids, pattern, str(directory))


def find(directory: str | Path) -> tuple[Path, Path]:
    """(path of the merges, path of the ids) in `directory`; `UserError` if one is missing."""
    directory = Path(directory)
    pairs = [(directory / merges, directory / ids) for merges, ids in NAMES]
    present = next((pair for pair in pairs if pair[0].exists() or pair[1].exists()), pairs[0])
    for path in present:
        if not path.is_file():
            raise UserError(
                f"tokenizer file {path} does not exist; a tokenizer needs {' and '.join(p.name for p in present)}"
            )
    return present


def from_merges(merges: Sequence[Sequence[str]], ids: dict[str, int], pattern: str, source: str) -> Tokenizer:
    """A tokenizer from merges in order, and a table from tokens to ids. Both write each byte as a printable letter.

    tiktoken uses ids as ranks. So ids must be in the order of the merges: the token of the first merge has the first id
    after the 256 single bytes, and so on. `UserError` if they are not. If the table lacks `<|endoftext|>`, this token
    gets the id after the last one.
    """
    if not fits(ids, dict[str, int]) or not fits(merges, list[list[str]]):
        raise UserError(f"the tokenizer in {source} has no table from tokens to ids, or no list of merges")
    ids = dict(ids)
    end_of_text = ids.pop(END_OF_TEXT, None)
    if end_of_text is None:  # as in the published table
        end_of_text = max(ids.values(), default=-1) + 1
    made = ["".join(pair) for pair in merges]
    in_order = sorted(ids, key=ids.__getitem__)
    if any(len(pair) != 2 for pair in merges) or in_order[256:] != made:
        raise UserError(
            f"the merges and ids of the tokenizer in {source} do not match: "
            f"the ids after the 256 single bytes must be in the order of the merges"
        )
    try:
        return Tokenizer.from_letters(ids, pattern, end_of_text)
    except KeyError as error:
        raise UserError(f"the tokenizer in {source} has the letter {error}, which represents no byte") from None


def files(tokenizer: Tokenizer) -> dict[str, str]:
    """File name -> content, for `vocab.bpe` and `encoder.json`; `UserError` if the first 256 ids are not the bytes."""
    vocab = tokenizer.letters()
    ordered = sorted(vocab, key=vocab.__getitem__)
    if any(len(letters) != 1 for letters in ordered[:256]):
        raise UserError("vocab.bpe needs a tokenizer whose first 256 ids are the single bytes")
    merges = [" ".join(_last_merge(letters, vocab)) for letters in ordered[256:]]
    table = {letters: vocab[letters] for letters in ordered} | {END_OF_TEXT: tokenizer.end_of_text}
    return {
        "vocab.bpe": "\n".join(["#version: 0.2", *merges]) + "\n",
        "encoder.json": json.dumps(table, ensure_ascii=False) + "\n",
    }


def _last_merge(letters: str, vocab: dict[str, int]) -> list[str]:
    """The two parts that the last merge joins into this token, when merging by rank."""
    parts = list(letters)
    while len(parts) > 2:
        joined = [vocab.get(left + right, len(vocab)) for left, right in itertools.pairwise(parts)]
        first = min(range(len(joined)), key=joined.__getitem__)
        parts[first : first + 2] = [parts[first] + parts[first + 1]]
    return parts
