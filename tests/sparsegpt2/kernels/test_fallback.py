"""Where a compiled loop cannot be imported or compiled, plain torch does its work, after one warning a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numba
import pytest
import torch

from sparsegpt2.kernels import dispatch
from sparsegpt2.kernels.linear import skips_zeros

STEP = """
import warnings
warnings.simplefilter("always")
caught = []
warnings.showwarning = lambda message, *rest, **more: caught.append(str(message))
import torch
from sparsegpt2 import GPT, GPTConfig, SparsityConfig
from sparsegpt2.sparsity.project import project_model_
torch.manual_seed(0)
torch.set_num_threads(1)
model = GPT(GPTConfig(vocab_size=32, context=16, d_model=32, n_layer=1, d_head=16, activation_density=0.25))
tokens = torch.randint(0, 32, (32, 17))
loss = model.loss(tokens[:, :-1], tokens[:, 1:])
loss.backward()
project_model_(model, SparsityConfig(density=0.25, min_alive=1))
size = sum(float(p.grad.float().norm()) for p in model.parameters() if p.grad is not None)
print(round(loss.item(), 2), round(size, 1), sum(int((p != 0).sum()) for p in model.parameters()))
print(sum("compiled CPU loops" in message for message in caught), *caught)
"""
NO_NUMBA = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("numba", "llvmlite"): raise ImportError(f"no {name}")
sys.meta_path.insert(0, Block())
"""
NO_CACHE = """
from numba.core import caching
(getattr(caching, "CacheImpl", None) or caching._CacheImpl)._locator_classes = []
"""
NO_COMPILER = """
from numba.core.dispatcher import Dispatcher
from numba.core.errors import LoweringError
compile_ = Dispatcher.compile
def compiling(self, signature):
    if self.py_func.__name__.startswith(FAILS): raise LoweringError("LLVM has failed")
    return compile_(self, signature)
Dispatcher.compile = compiling
"""


def run(before: str, **environment: str) -> tuple[list[str], int, str]:
    """Loss, gradient and number of nonzero entries after a step; warnings of ours; and all of them."""
    said = subprocess.run(
        [sys.executable, "-c", before + STEP], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    numbers, warned = said.stdout.splitlines()[:2]
    return numbers.split(), int(warned.split()[0]), said.stdout


@pytest.fixture(scope="module")
def plain() -> list[str]:
    numbers, warned, _ = run("", SPARSEGPT2_PLAIN="1")
    assert warned == 0, "who asks for plain torch needs no warning"
    return numbers


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (NO_NUMBA, "no numba"),
        (
            "FAILS = ('activate_backward_rows', 'mask_rows', 'loss_rows', 'keep_largest')\n" + NO_COMPILER,
            "LLVM has failed",
        ),
        (NO_CACHE, "set NUMBA_CACHE_DIR"),
    ],
    ids=["no numba", "some loops fail", "no cache folder"],
)
def test_a_step_is_the_plain_one_after_one_warning(plain, before, reason):
    numbers, warned, said = run(before)
    assert warned == 1 and reason in said, said
    assert numbers[2] == plain[2]
    assert [float(a) for a in numbers[:2]] == pytest.approx([float(a) for a in plain[:2]], rel=0.02)


def test_where_all_works_nothing_is_said(plain):
    numbers, warned, said = run("")
    assert warned == 0, said
    assert [float(a) for a in numbers[:2]] == pytest.approx([float(a) for a in plain[:2]], rel=0.02)


@pytest.mark.parametrize(("setting", "value"), [("CPU_NAME", "generic"), ("CPU_FEATURES", "")])
def test_no_instruction_of_this_cpu_is_asked_for_where_numba_compiles_for_another(monkeypatch, setting, value):
    monkeypatch.setattr(numba.config, setting, value)
    assert not skips_zeros.__wrapped__()


def test_a_numba_that_lacks_what_we_use_is_one_warning(monkeypatch):
    def missing() -> None:
        raise AttributeError("module 'numba' has no attribute 'extending'")

    monkeypatch.setattr(dispatch, "CpuKernels", missing)
    monkeypatch.setattr(dispatch, "LOOPS", dispatch.Loops())
    with pytest.warns(
        RuntimeWarning, match=r"cannot be used here \(AttributeError: .* plain torch does their work"
    ) as said:
        assert all(dispatch.cpu_kernels(torch.ones(1), part) is None for part in ("rows", "topk", "rows"))
    assert len(said) == 1


def test_a_trial_runs_every_loop_that_torch_code_calls():
    called = set()
    for path in Path(dispatch.__file__).parent.glob("*.py"):
        called |= set(re.findall(r"kernels\.(\w+)\.([a-z]\w+)", path.read_text()))
        import_module(f"sparsegpt2.kernels.{path.stem}") if path.stem != "gpu" else None  # each registers its trial
    assert {part for part, _ in called} == set(dispatch.TRIALS)
    for part, name in sorted(called):
        assert dispatch.LOOPS.usable(part)
        if (part, name) != ("sparse", "outer_sums") or skips_zeros():
            assert getattr(getattr(dispatch.LOOPS.modules, part), name).signatures, f"{part}.{name} was not tried"
