"""Mutated files of every format: each is read, or refused with one sentence. More cases: `python -m tests.fuzz`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.formats import FORMATS
from tests.fuzz.worker import case_of

ROOT = Path(__file__).parent.parent
EACH = 200


def fuzz(tmp_path, *arguments):
    """The harness in a process of its own: (status, output, failures as text)."""
    command = [sys.executable, "-m", "tests.fuzz", "--out", str(tmp_path / "failures"), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    told = "\n".join(file.read_text() for file in sorted((tmp_path / "failures").glob("*.txt"))[:5])
    return done.returncode, done.stdout, f"{told}\n{done.stderr[-2000:]}"


def test_no_mutated_file_does_more_than_be_refused(tmp_path):
    """Seeded cases of every format, and the inputs that did more at some time."""
    status, table, told = fuzz(tmp_path, "--each", str(EACH), "--inputs", str(ROOT / "tests" / "fixtures" / "fuzz"))
    assert status == 0, f"{table}\n{told}"
    lines = {line.split()[0]: line.split() for line in table.splitlines()[1:]}
    assert set(lines) == {*FORMATS, "all"}
    for name, form in FORMATS.items():
        assert int(lines[name][1]) >= EACH * form.share
    assert int(lines["all"][2].replace(",", "")) > 500  # mutants that are still valid, so the readers do read


def test_every_input_is_of_a_format():
    inputs = sorted((ROOT / "tests" / "fixtures" / "fuzz").iterdir())
    assert len(inputs) > 50
    assert {file.name.split("-")[0] for file in inputs} <= set(FORMATS)


def test_a_case_is_the_same_every_time():
    valid = [b'{"a": [1, 2.5, "x"], "b": {"c": null}}']
    made = [case_of("circuit", number, 7, valid) for number in range(50)]
    assert made == [case_of("circuit", number, 7, valid) for number in range(50)]
    assert made != [case_of("circuit", number, 8, valid) for number in range(50)] and len(set(made)) > 30


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("time.sleep(60)", "was not finished"),
        ("bytearray(3 * 2**30)", "MemoryError"),
        ("os._exit(3)", "ended with status 3"),
        ("os.kill(os.getpid(), 11)", "ended with status -11"),
    ],
)
def test_the_harness_sees(tmp_path, body, why):
    """What a reader must not do is counted as a failure, and the cases after it are still tried."""
    program = f"""
import os, sys, time
from tests.fuzz import __main__, formats, material, worker
from tests.fuzz.formats import Format
worker.WAITING = worker.SECONDS = 0.5
__main__.PACKAGES = ()
material.make = lambda folder: (folder.mkdir(parents=True), (folder / "f").write_bytes(b"valid"))
def read(room, file):
    if file.read_bytes() == b"bad":
        {body}
formats.FORMATS.clear()
formats.FORMATS["one"] = Format("bytes", "f", read)
__main__.case_of = lambda form, number, seed, valid: b"bad" if number == 1 else b"good"
sys.exit(__main__.main(["--cases", "3", "--out", {str(tmp_path / "failures")!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "FAILED one:1" in done.stdout and why in done.stdout
    assert done.stdout.splitlines()[-1].split()[:5] == ["all", "3", "2", "0", "1"]
    assert (tmp_path / "failures" / "one-1.bin").read_bytes() == b"bad"
