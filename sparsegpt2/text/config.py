"""Settings of the text that a model is trained on. Imports no module that needs torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from sparsegpt2.errors import UserError
from sparsegpt2.settings.fields import check_fields
from sparsegpt2.text.corpus.base import CorpusConfig

LARGEST_VOCABULARY = 2**16
"""The largest vocabulary in tokens, because token ids are stored as uint16."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The text to train on, and its tokenizer."""

    corpora: list[CorpusConfig] = field(
        default_factory=lambda: [CorpusConfig()],
        metadata={
            "group": {"name": "files"},
            "shorthands": {
                "path": "Your own text, in place of `corpora`: a file, a folder or a pattern such as 'src/**/*.py'; "
                "text of any kind, jsonl, csv, parquet, plain or compressed.",
                "text_field": "The field that holds the text in jsonl, csv and parquet files; by default text, "
                "content, code, body or document.",
            },
        },
    )
    """The corpora to mix. Their weights are shares of the mixture's bytes. `path: PATH` stands for
    `corpora: [{name: files, path: PATH}]`."""
    tokens: int = 10_000_000
    """Tokens in the train split; fewer if the corpora end earlier. Held-out tokens are extra."""
    held_out_fraction: float = 0.01
    """Share of the documents that is held out. Of a small corpus more is held out: about 8 KiB, but at most a tenth of
    the text, or a quarter if there are only a few KiB. Of a single document, the end is held out."""
    vocab_size: int = 2048
    """Size of the tokenizer that is trained, including end of text. If there is too little text for so many tokens, the
    rest are tokens that no text contains. Gao et al. 2025 (arXiv 2511.13653) use 2048."""
    tokenizer: str | None = None
    """A tokenizer to use instead of training one: a tokenizer.json, a folder that holds one, or a model (`RUN`,
    `zoo:NAME`, `hf:user/name`)."""
    tokenizer_bytes: int = 10_000_000
    """Amount of text of the train split that the tokenizer is trained on; despite the name, in characters."""
    seed: int = 0
    """Seed of the documents: of what a generator writes, and of the order of files."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.corpora:
            raise UserError("corpora is empty; name at least one corpus, such as tinypython")
        if self.tokens < 1 or self.tokenizer_bytes < 1:
            raise UserError(f"tokens ({self.tokens}) and tokenizer_bytes ({self.tokenizer_bytes}) must be at least 1")
        if not 0 < self.held_out_fraction < 1:
            raise UserError(f"held_out_fraction is {self.held_out_fraction}; it must be between 0 and 1")
        if self.seed < 0:
            raise UserError(f"the data's seed is {self.seed}; it must not be negative")
        check_vocabulary(self.vocab_size)


def check_vocabulary(size: int) -> None:
    """`UserError` for a tokenizer whose ids do not fit in uint16, the type that token ids are stored in."""
    if size > LARGEST_VOCABULARY:
        raise UserError(
            f"the vocabulary has {size} tokens; ids are stored as uint16, so it may have at most {LARGEST_VOCABULARY}"
        )
