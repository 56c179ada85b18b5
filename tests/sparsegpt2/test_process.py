"""What the machine refuses is one sentence with status 2; a signal puts things down in order."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sparsegpt2 import UserError
from sparsegpt2.process import NO_VERIFY, of_a_command, told, with_parent
from sparsegpt2.settings import run

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            "a/b: no space left on device; free some space",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a: permission denied; name another place"),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a: read-only file system; name a place that can be"),
        (OSError(errno.EFBIG, "File too large"), "file too large; raise the limit"),
        (MemoryError(), "memory ran out (MemoryError); use smaller batches"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory ran out (CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "memory ran out ([enf"),
        (AssertionError("Torch not compiled with CUDA enabled"), "the device cannot be used: Torch not compiled with"),
    ],
)
def test_what_the_machine_refuses_is_one_sentence(error, sentence, capsys):
    def command(arguments):
        raise error

    assert run(command, []) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"sparsegpt2: error: {sentence}") and said.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("shapes"), KeyError("x"), UserError("own"), AssertionError()])
def test_other_errors_are_not_hidden(error):
    assert told(error) is None


def test_sigterm_lets_a_command_put_things_down(capsys):
    done = []

    def command(arguments):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.sigtimedwait([], 5)
        finally:
            done.append(arguments)

    earlier = signal.getsignal(signal.SIGTERM)
    assert run(command, ["a"]) == 130
    assert done == [["a"]] and signal.getsignal(signal.SIGTERM) is earlier
    assert "interrupted; no result was written" in capsys.readouterr().err
    command.__name__ = "bench"
    assert run(command, ["a"]) == 130
    assert "run the same command again to resume" in capsys.readouterr().err


def test_the_flag_that_leaves_checks_out_is_taken_by_every_command(monkeypatch):
    skipped = []
    monkeypatch.setattr("sparsegpt2.checksum.skip", lambda: skipped.append(True))
    with of_a_command(["a", NO_VERIFY, "b"]) as arguments:
        assert arguments == ["a", "b"] and skipped == [True]
    assert "SPARSEGPT2_NO_VERIFY" not in with_parent({})
    monkeypatch.setattr("sparsegpt2.checksum._skipped", True)
    monkeypatch.setenv("SPARSEGPT2_NO_VERIFY", with_parent({})["SPARSEGPT2_NO_VERIFY"])  # as in a child
    with of_a_command(["a"]):
        assert skipped == [True, True]


def test_files_that_may_not_grow_are_told_and_leave_nothing_half_written(tmp_path):
    """A real limit of the system, met by a writer in Rust (safetensors) and by ours."""
    code = f"""
import sys
from sparsegpt2 import GPT, GPTConfig, save_model
from sparsegpt2.settings import run
def command(arguments):
    save_model(GPT(GPTConfig(vocab_size=300, context=32, n_layer=1, d_model=64)), {str(tmp_path / "model")!r})
sys.exit(run(command, []))
"""
    limit = 100_000
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert found.returncode == 2 and "file too large; raise the limit" in found.stderr, found.stderr
    assert found.stderr.count("\n") == 1 and os.listdir(tmp_path) == []
