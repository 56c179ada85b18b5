"""Fixtures shared by all test packages."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # read when `tokenizers` starts; tests share few cores

from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings import run_commands
from sparsegpt2.text.corpus.tinypython import document
from sparsegpt2.text.tokenizer import Tokenizer
from sparsegpt2.text.train_tokenizer import train_tokenizer

pytest_plugins = ["tests.fixtures.models", "tests.fixtures.rows"]

TEXTS = 1500
"""Documents of tinypython the tokenizer is trained on: about 1 MB."""


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer of the default size, trained on a little of the default corpus."""
    return train_tokenizer((document(0, index) for index in range(TEXTS)), vocab_size=2048)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of `sparsegpt2` in this process: (status, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()  # what others wrote before
        status = run_commands("sparsegpt2", COMMANDS, [str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return call
