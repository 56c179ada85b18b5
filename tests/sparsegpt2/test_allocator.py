"""The allocator keeps what a step frees."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sparsegpt2.allocator import keep_freed_memory

FAULTS = """
import resource, sys, numpy
from sparsegpt2.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def step():
    blocks = [numpy.ones(2_500_000) for _ in range(4)]  # 20 MB each, all freed at the end
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    """Of five steps that allocate and free 80 MB each, in a process of their own."""
    found = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's settings")
def test_freed_memory_is_used_again_without_page_faults():
    assert page_faults("kept") < page_faults("as it is") / 10


def test_elsewhere_nothing_is_done(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
