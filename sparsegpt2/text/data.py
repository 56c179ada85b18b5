"""Tokens on disk: prepare them once from corpora, then read batches that depend only on (seed, step).

A prepared directory holds `tokenizer.json`, `manifest.json` and, for each split, shards of uint16 token ids. A document
is preceded by an end-of-text token and is in one shard as a whole, so each shard begins with end of text.

Shapes: B rows in a batch, T tokens in a row (`context`). A row's inputs and targets come from one window of T + 1
tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsegpt2.checksum import check_files, check_seal, checksums, digest, sealed
from sparsegpt2.errors import UserError
from sparsegpt2.files import Kind, clear_leftovers, end_swap, read_json, replacing_directory, settled, write_json
from sparsegpt2.locate import TOKENIZER
from sparsegpt2.lock import locked_file
from sparsegpt2.plain import check, reading, stays_inside
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.text.config import DataConfig, check_vocabulary
from sparsegpt2.text.corpus import Corpus, find_corpus, mixed_documents, open_corpus
from sparsegpt2.text.shards import ShardWriter
from sparsegpt2.text.split import Split, first_of, split_documents
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.train_tokenizer import is_filler, train_tokenizer
from sparsegpt2.text.windows import draw_windows, every_window, spread_windows

FORMAT = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "held_out")
PREPARED = Kind("prepared data", (MANIFEST, TOKENIZER, "*.bin"), MANIFEST, ('"request"', '"splits"'))
"""Folders that `prepare` may replace."""
BATCH_BYTES = 2**20
"""Characters (despite the name, not bytes) of text that are tokenized at a time, so that little RAM is needed."""


# --- Preparing ------------------------------------------------------------------------------------------------------


def prepare(config: DataConfig, directory: str | Path, progress: bool = True, *, window: int = 1) -> TokenData:
    """Make sure that `directory` holds the tokens that `config` asks for, and open it.

    Nothing is written if it already does. Otherwise everything is written to a temporary directory and renamed in one
    step: an interruption leaves no incomplete data, and the next call starts again. If several processes call this, one
    prepares and the others wait. `UserError` if `directory` holds anything but prepared data; it is not changed then.

    progress: show a bar with the time left, and print what is read and what is left out.
    window: tokens that each split must have in one piece. `UserError` if there is too little text for that; it is
    raised before anything is tokenized if the size of the text in bytes already shows it.
    """
    directory = Path(directory)
    corpora = [(open_corpus(corpus), corpus.weight) for corpus in config.corpora]
    tokenizer = Tokenizer.load(config.tokenizer) if config.tokenizer is not None else None
    if tokenizer is not None:
        check_vocabulary(tokenizer.vocab_size)
    request = _request(config, corpora, tokenizer)
    lock, what = directory.with_name(f".{directory.name}.lock"), f"prepared data {directory}"
    if _holds(settled(directory), request):
        if lock.exists():  # of a process that is finishing, or that was killed before it could remove the file
            with suppress(UserError, OSError), locked_file(lock, what):
                clear_leftovers(directory)
                end_swap(directory)
        data = TokenData(settled(directory))
        for split in SPLITS:
            data.check_window(split, window)
        return data
    PREPARED.check(directory)
    with locked_file(lock, what, wait=True):
        if not _holds(settled(directory), request):
            with replacing_directory(directory, PREPARED) as unfinished:
                _write(config, corpora, tokenizer, request, unfinished, progress, window)
        return TokenData(settled(directory))


def _holds(directory: Path, request: dict[str, Any]) -> bool:
    """Whether `directory` holds the tokens of this request."""
    if not (directory / MANIFEST).exists():
        return False
    manifest = read_json(directory / MANIFEST, "manifest")
    return isinstance(manifest, dict) and manifest.get("request") == request


def _request(config: DataConfig, corpora: list[tuple[Corpus, float]], tokenizer: Tokenizer | None) -> dict[str, Any]:
    """Everything that determines the tokens, as JSON: prepared data with the same request is the same data."""
    request = asdict(config)
    for settings, (corpus, _) in zip(request["corpora"], corpora, strict=True):
        found = find_corpus(settings["name"])  # the plain name, because tokens do not depend on the path to its file
        settings["name"] = found.name
        settings["identity"] = sha256((corpus.identity() + found.fingerprint).encode()).hexdigest()
    if tokenizer is not None:
        for setting in ("vocab_size", "tokenizer_bytes"):
            del request[setting]
        request["tokenizer"] = tokenizer.fingerprint
    return {"format": FORMAT, **request}


def _split_documents(config: DataConfig, corpora: list[tuple[Corpus, float]]) -> Iterator[Split]:
    """(split, text) of each document, in the order in which they are written."""
    return split_documents(mixed_documents(corpora, config.seed), config.held_out_fraction, config.tokens)


def _training_texts(config: DataConfig, corpora: list[tuple[Corpus, float]]) -> Iterator[str]:
    """The documents of the train split up to `tokenizer_bytes` characters, to train the tokenizer on."""
    characters = 0
    for split, text in _split_documents(config, corpora):
        if split == "train":
            yield text
            characters += len(text)
        if characters >= config.tokenizer_bytes:
            return


def _write(
    config: DataConfig,
    corpora: list[tuple[Corpus, float]],
    tokenizer: Tokenizer | None,
    request: dict[str, Any],
    directory: Path,
    progress: bool,
    window: int,
) -> None:
    """Write tokenizer, shards and manifest into `directory`."""
    with ProgressDisplay("preparing the text", enabled=progress) as show:
        told = _tell(show, corpora, [])
        found = first_of(_split_documents(config, corpora), window)
        if not any(found.values()):
            raise UserError(f"{_names(config)}: no document has any text")
        _check_amounts(config, found, window, "bytes")
        if tokenizer is None:
            show(0, config.tokens, "training the tokenizer")
            tokenizer = train_tokenizer(_training_texts(config, corpora), config.vocab_size, fill=True)
            if (unused := sum(map(is_filler, tokenizer.ranks))) > 0:
                show.line(
                    f"this text gives {tokenizer.vocab_size - unused} tokens; {unused} that no text has fill the "
                    f"tokenizer up to {tokenizer.vocab_size} (data.vocab_size)"
                )
        tokenizer.save(directory)
        writers = {split: ShardWriter(directory, split, tokenizer.end_of_text) for split in SPLITS}
        for batch in _batches(_split_documents(config, corpora)):
            for (split, text), ids in zip(batch, tokenizer.encode_batch([text for _, text in batch]), strict=True):
                if writers["train"].tokens >= config.tokens:
                    break
                writers[split].add(ids, len(text.encode("utf-8", errors="replace")))
            show(min(writers["train"].tokens, config.tokens), config.tokens, "writing tokens")
            if writers["train"].tokens >= config.tokens:
                break
        _tell(show, corpora, told)
    splits = {split: writer.finish() for split, writer in writers.items()}
    largest = {split: max((one["tokens"] for one in splits[split]["shards"]), default=0) for split in SPLITS}
    _check_amounts(config, largest, window, "tokens")
    manifest = {"tokenizer": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size, "splits": splits}
    written = checksums(
        directory, [TOKENIZER, *(shard["file"] for split in SPLITS for shard in splits[split]["shards"])]
    )
    write_json(directory / MANIFEST, sealed({**manifest, "request": request, "files": written}))


def _check_amounts(config: DataConfig, found: Mapping[str, int], window: int, unit: str) -> None:
    """`UserError` unless each split has enough text for one window of `window` tokens.

    found: split -> amount of text in it, in `unit` (bytes or tokens). A text has no more tokens than bytes.
    """
    for split, what in (("train", "training"), ("held_out", "held-out loss")):
        if found[split] < window:
            less = f"; {config.tokens} tokens are asked for (--data.tokens)" if config.tokens < window else ""
            raise UserError(
                f"{_names(config)}: too little text: {found[split]} {unit} are left for {what}, and one window needs "
                f"{window} tokens{less}; give more text, or shorter windows (--model.context)"
            )


def _tell(show: ProgressDisplay, corpora: list[tuple[Corpus, float]], told: list[str]) -> list[str]:
    """Print the notes of the corpora, which are lines for the user about what was read. Returns all notes.

    told: notes that were printed before, and are not printed again.
    """
    notes = [note for corpus, _ in corpora for note in getattr(corpus, "notes", list)()]
    for note in notes:
        if note not in told:
            show.line(note)
    return notes


def _names(config: DataConfig) -> str:
    return f"corpora {', '.join(corpus.path or corpus.name for corpus in config.corpora)}"


def _batches(documents: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Documents in lists of about `BATCH_BYTES` characters."""
    batch: list[tuple[str, str]] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document[1])
        if characters >= BATCH_BYTES:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


# --- Reading --------------------------------------------------------------------------------------------------------


class TokenData:
    """A prepared directory. Its shards are memory-mapped."""

    def __init__(self, directory: str | Path) -> None:
        """Open `directory`; `UserError` if it or a shard is missing, or a file has changed since it was written.

        Every shard is hashed the first time that a process opens it. Data from earlier versions has no checksums, so
        only the sizes of its shards are compared.
        """
        self.directory = Path(directory)
        self.manifest: dict[str, Any] = read_json(self.directory / MANIFEST, "manifest")
        with reading(f"manifest {self.directory / MANIFEST}", "prepare the data again"):
            self.vocab_size: int = check(self.manifest["vocab_size"], int, "vocab_size")
            self._shards = {split: self._open(self.manifest["splits"][split]["shards"]) for split in SPLITS}
            for split in SPLITS:
                check(self.manifest["splits"][split]["tokens"], int, "tokens")
        check_seal(self.manifest, self.directory / MANIFEST)
        self.tokenizer = Tokenizer.load(self.directory)
        if self.tokenizer.fingerprint != self.manifest.get("tokenizer"):
            raise UserError(
                f"the tokenizer in {self.directory} is not the one that its shards were written with; "
                f"delete {self.directory} and prepare the data again"
            )
        check_files(self.directory, self.manifest.get("files"), self.directory / MANIFEST)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all tokens and their splits. Together with seed and step it determines every batch."""
        splits = self.manifest["splits"]
        shards = [[split, digest(self.directory / one["file"])] for split in SPLITS for one in splits[split]["shards"]]
        return sha256(json.dumps(shards).encode()).hexdigest()

    def _open(self, shards: list[dict[str, Any]]) -> list[np.ndarray]:
        opened: list[np.ndarray] = []
        for shard in check(shards, list[dict[str, int | str]], "shards"):
            if not stays_inside(check(shard["file"], str, "file")):
                raise UserError(f"it lists the shard {shard['file']!r}, which is outside its folder")
            path, expected = self.directory / shard["file"], 2 * shard["tokens"]
            size = path.stat().st_size if path.exists() else 0
            if size != expected:
                raise UserError(
                    f"shard {path} has {size} bytes, but its manifest says {expected}: "
                    f"delete {self.directory} and prepare the data again"
                )
            opened.append(np.memmap(path, dtype="<u2", mode="r"))
        return opened

    def tokens(self, split: str) -> int:
        """Number of tokens in a split, including ends of text."""
        return self.manifest["splits"][split]["tokens"]

    def batch(self, split: str, step: int, batch_size: int, context: int, seed: int) -> tuple[Tensor, Tensor]:
        """Inputs [B, T] and targets [B, T], int64, of training step `step`: a pure function of the arguments.

        An epoch uses every window of T + 1 tokens once. Each window starts where the previous one's inputs end. Every
        epoch has its own order of the windows, and its own offset of the first one. Inputs are the
        window without its last token, targets the window without its first.
        """
        shards = self._enough(split, context)
        samples = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.uint64)
        return self._windows(shards, draw_windows(samples, [len(shard) for shard in shards], context, seed), context)

    def held_out(self, batch_size: int, context: int, n_batches: int) -> list[tuple[Tensor, Tensor]]:
        """Up to `n_batches` fixed batches of (inputs [B, T], targets [B, T]), spread evenly over the held-out split.

        If the split has fewer windows than that, every window is returned once, and the last batch may be smaller.
        """
        shards = self._enough("held_out", context)
        windows = spread_windows(every_window([len(shard) for shard in shards], context), batch_size * n_batches)
        cuts = range(0, len(windows), batch_size)
        return [self._windows(shards, windows[cut : cut + batch_size], context) for cut in cuts]

    def _enough(self, split: str, context: int) -> list[np.ndarray]:
        self.check_window(split, context + 1)
        return [shard for shard in self._shards[split] if len(shard) > context]

    def check_window(self, split: str, window: int) -> None:
        """`UserError` unless at least one shard of the split has `window` tokens or more."""
        if all(len(shard) < window for shard in self._shards[split]):
            raise UserError(
                f"the {split} split in {self.directory} has {self.tokens(split)} tokens, too few for a window of "
                f"{window}: give more text, or shorter windows (--model.context)"
            )

    def _windows(self, shards: list[np.ndarray], windows: np.ndarray, context: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets, each [B, T], of `windows` [B, 2], whose rows are (index into `shards`, start)."""
        rows = np.stack([shards[shard][start : start + context + 1] for shard, start in windows.tolist()])
        tokens = torch.from_numpy(rows.astype(np.int64))  # [B, T + 1]
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
