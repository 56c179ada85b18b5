"""Tokens on disk: prepare them once from corpora, then read batches that depend on nothing but (seed, step).

A prepared directory holds `tokenizer.json`, `manifest.json` and, for each split, shards of uint16 token ids. Every
document stands behind an end-of-text token and lies in one shard, so each shard begins with end of text.

Shapes: B windows of a batch, T tokens of a window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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
from sparsegpt2.progress import ProgressDisplay
from sparsegpt2.text.config import DataConfig, check_vocabulary
from sparsegpt2.text.corpus import Corpus, find_corpus, mixed_documents, open_corpus
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.train_tokenizer import train_tokenizer
from sparsegpt2.text.windows import draw_windows, every_window, spread_windows

FORMAT = 1
MANIFEST = "manifest.json"
SPLITS = ("train", "held_out")
PREPARED = Kind("prepared data", (MANIFEST, TOKENIZER, "*.bin"), MANIFEST, ('"request"', '"splits"'))
"""Folders that `prepare` may replace."""
SHARD_TOKENS = 2**26
"""Tokens after which a shard is closed at the next document: 128 MiB."""
BATCH_BYTES = 2**20
"""Characters of text tokenized at a time: bounds memory."""


# --- Preparing ------------------------------------------------------------------------------------------------------


def prepare(config: DataConfig, directory: str | Path, progress: bool = True) -> TokenData:
    """Make `directory` hold the tokens `config` asks for, and open it.

    Nothing is done, nor written, when it already does. Otherwise everything is written beside it and renamed in one
    step, so an interrupted run leaves no half-made data; it starts again. Of several processes one prepares, the others
    wait. `progress` shows a bar with the time left. A directory of anything else is left alone (`UserError`).
    """
    directory = Path(directory)
    corpora = [(open_corpus(corpus), corpus.weight) for corpus in config.corpora]
    tokenizer = Tokenizer.load(config.tokenizer) if config.tokenizer is not None else None
    if tokenizer is not None:
        check_vocabulary(tokenizer.vocab_size)
    request = _request(config, corpora, tokenizer)
    lock, what = directory.with_name(f".{directory.name}.lock"), f"prepared data {directory}"
    if _holds(settled(directory), request):
        if lock.exists():  # a process was killed when it had finished but not yet tidied; or one just finishes
            with suppress(UserError, OSError), locked_file(lock, what):
                clear_leftovers(directory)
                end_swap(directory)
        return TokenData(settled(directory))
    PREPARED.check(directory)
    with locked_file(lock, what, wait=True):
        if not _holds(settled(directory), request):
            with replacing_directory(directory, PREPARED) as unfinished:
                _write(config, corpora, tokenizer, request, unfinished, progress)
        return TokenData(settled(directory))


def _holds(directory: Path, request: dict[str, Any]) -> bool:
    """Whether `directory` holds the tokens that are asked for."""
    if not (directory / MANIFEST).exists():
        return False
    manifest = read_json(directory / MANIFEST, "manifest")
    return isinstance(manifest, dict) and manifest.get("request") == request


def _request(config: DataConfig, corpora: list[tuple[Corpus, float]], tokenizer: Tokenizer | None) -> dict[str, Any]:
    """All that decides the tokens, as JSON: prepared data with the same request is the same data."""
    request = asdict(config)
    for settings, (corpus, _) in zip(request["corpora"], corpora, strict=True):
        found = find_corpus(settings["name"])  # by its plain name: the folder it is named from makes no other data
        settings["name"] = found.name
        settings["identity"] = sha256((corpus.identity() + found.fingerprint).encode()).hexdigest()
    if tokenizer is not None:
        for setting in ("vocab_size", "tokenizer_bytes"):
            del request[setting]
        request["tokenizer"] = tokenizer.fingerprint
    return {"format": FORMAT, **request}


def _split_documents(config: DataConfig, corpora: list[tuple[Corpus, float]]) -> Iterator[tuple[str, str]]:
    """(split, text) of each document. Multiples of the golden ratio, modulo 1, pick the held-out ones evenly."""
    golden, whole = 0x9E3779B97F4A7C15, 2**64
    for index, text in enumerate(mixed_documents(corpora, config.seed), start=1):
        held_out = index * golden % whole < config.held_out_fraction * whole
        yield ("held_out" if held_out else "train"), text


def _training_texts(config: DataConfig, corpora: list[tuple[Corpus, float]]) -> Iterator[str]:
    """The first `tokenizer_bytes` of the train split, for the tokenizer."""
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
) -> None:
    """Fill `directory` with tokenizer, shards and manifest."""
    with ProgressDisplay("preparing the text", enabled=progress) as show:
        if tokenizer is None:
            show(0, config.tokens, "training the tokenizer")
        if next(mixed_documents(corpora, config.seed), None) is None:
            raise UserError(f"{_names(config)}: there is no document with any text")
        tokenizer = tokenizer or train_tokenizer(_training_texts(config, corpora), config.vocab_size)
        tokenizer.save(directory)
        writers = {split: _ShardWriter(directory, split, tokenizer.end_of_text) for split in SPLITS}
        for batch in _batches(_split_documents(config, corpora)):
            for (split, text), ids in zip(batch, tokenizer.encode_batch([text for _, text in batch]), strict=True):
                if writers["train"].tokens >= config.tokens:
                    break
                writers[split].add(ids, len(text.encode("utf-8", errors="replace")))
            show(min(writers["train"].tokens, config.tokens), config.tokens, "writing tokens")
            if writers["train"].tokens >= config.tokens:
                break
    splits = {split: writer.finish() for split, writer in writers.items()}
    empty = [split for split in SPLITS if not splits[split]["documents"]]
    if empty:
        documents = sum(splits[split]["documents"] for split in SPLITS)
        raise UserError(
            f"{_names(config)}: of {documents} documents none fell into the {empty[0]} split; "
            f"give more text or change held_out_fraction (now {config.held_out_fraction})"
        )
    manifest = {"tokenizer": tokenizer.fingerprint, "vocab_size": tokenizer.vocab_size, "splits": splits}
    written = checksums(
        directory, [TOKENIZER, *(shard["file"] for split in SPLITS for shard in splits[split]["shards"])]
    )
    write_json(directory / MANIFEST, sealed({**manifest, "request": request, "files": written}))


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


class _ShardWriter:
    """Writes the documents of one split to shards and counts them."""

    def __init__(self, directory: Path, split: str, end_of_text: int) -> None:
        self.directory, self.split = directory, split
        self.end_of_text = np.array([end_of_text], dtype="<u2")
        self.tokens = self.documents = self.bytes = 0
        self.shards: list[dict[str, Any]] = []
        self._file: Any = None

    def add(self, ids: list[int], size: int) -> None:
        """One document of `size` bytes."""
        if self._file is None or self.shards[-1]["tokens"] >= SHARD_TOKENS:
            self._open()
        self._file.write(self.end_of_text)
        self._file.write(np.array(ids, dtype="<u2"))
        self.shards[-1]["tokens"] += 1 + len(ids)
        self.tokens += 1 + len(ids)
        self.documents += 1
        self.bytes += size

    def _open(self) -> None:
        if self._file is not None:
            self._file.close()
        name = f"{self.split}-{len(self.shards):05d}.bin"
        self._file = open(self.directory / name, "wb")  # noqa: SIM115 (closed by the next _open or finish)
        self.shards.append({"file": name, "tokens": 0})

    def finish(self) -> dict[str, Any]:
        """Close the last shard; the split's entry in the manifest."""
        if self._file is not None:
            self._file.close()
        counts = {"tokens": self.tokens, "documents": self.documents, "bytes": self.bytes}
        return {**counts, "shards": self.shards}


# --- Reading --------------------------------------------------------------------------------------------------------


class TokenData:
    """A prepared directory, read through memory maps."""

    def __init__(self, directory: str | Path) -> None:
        """A missing directory, a broken manifest, and a shard that is not as it was written are `UserError`s.

        Shards are hashed when they are first opened in a process, at the speed of memory; data of earlier versions have
        no checksums, and only sizes are compared.
        """
        self.directory = Path(directory)
        self.manifest: dict[str, Any] = read_json(self.directory / MANIFEST, "manifest")
        try:
            self.vocab_size: int = self.manifest["vocab_size"]
            self._shards = {split: self._open(self.manifest["splits"][split]["shards"]) for split in SPLITS}
        except (KeyError, TypeError) as error:
            raise UserError(f"manifest {self.directory / MANIFEST} lacks {error}; prepare the data again") from None
        check_seal(self.manifest, self.directory / MANIFEST)
        self.tokenizer = Tokenizer.load(self.directory)
        if self.tokenizer.fingerprint != self.manifest.get("tokenizer"):
            raise UserError(f"the tokenizer in {self.directory} is not the one its shards were written with")
        check_files(self.directory, self.manifest.get("files"), self.directory / MANIFEST)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all tokens and how they are split: what decides the batches besides seed and step."""
        splits = self.manifest["splits"]
        shards = [[split, digest(self.directory / one["file"])] for split in SPLITS for one in splits[split]["shards"]]
        return sha256(json.dumps(shards).encode()).hexdigest()

    def _open(self, shards: list[dict[str, Any]]) -> list[np.ndarray]:
        opened: list[np.ndarray] = []
        for shard in shards:
            path, expected = self.directory / shard["file"], 2 * shard["tokens"]
            size = path.stat().st_size if path.exists() else 0
            if size != expected:
                raise UserError(
                    f"shard {path} has {size} bytes where its manifest says {expected}: "
                    f"delete {self.directory} and prepare the data again"
                )
            opened.append(np.memmap(path, dtype="<u2", mode="r"))
        return opened

    def tokens(self, split: str) -> int:
        """Tokens of a split, ends of text included."""
        return self.manifest["splits"][split]["tokens"]

    def batch(self, split: str, step: int, batch_size: int, context: int, seed: int) -> tuple[Tensor, Tensor]:
        """Inputs [B, T] and targets [B, T], int64, of training step `step`: a pure function of the arguments.

        Windows of T + 1 tokens are cut edge to edge and each is used once in an epoch, in an order of its own for
        each epoch, from a starting point of its own. Targets are inputs one token later.
        """
        shards = self._enough(split, context)
        samples = np.arange(step * batch_size, (step + 1) * batch_size, dtype=np.uint64)
        return self._windows(shards, draw_windows(samples, [len(shard) for shard in shards], context, seed), context)

    def held_out(self, batch_size: int, context: int, n_batches: int) -> list[tuple[Tensor, Tensor]]:
        """Up to `n_batches` fixed batches of (inputs [B, T], targets [B, T]), spread evenly over the held-out split.

        When it has fewer windows all are given once, the last batch being smaller.
        """
        shards = self._enough("held_out", context)
        windows = spread_windows(every_window([len(shard) for shard in shards], context), batch_size * n_batches)
        cuts = range(0, len(windows), batch_size)
        return [self._windows(shards, windows[cut : cut + batch_size], context) for cut in cuts]

    def _enough(self, split: str, context: int) -> list[np.ndarray]:
        shards = [shard for shard in self._shards[split] if len(shard) > context]
        if not shards:
            raise UserError(
                f"the {split} split in {self.directory} has {self.tokens(split)} tokens, too few for one window of "
                f"{context + 1}: prepare more text or lower the context"
            )
        return shards

    def _windows(self, shards: list[np.ndarray], windows: np.ndarray, context: int) -> tuple[Tensor, Tensor]:
        """Tokens at windows [B, 2] of (shard, start)."""
        rows = np.stack([shards[shard][start : start + context + 1] for shard, start in windows.tolist()])
        tokens = torch.from_numpy(rows.astype(np.int64))  # [B, T + 1]
        return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
