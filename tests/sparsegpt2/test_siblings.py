"""A train.py or random.py in the working folder hides nothing of ours, and we hide nothing of the user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sparsegpt2 import siblings

IN_THE_WAY = ("train", "eval_tasks", "random", "code", "torch", "numpy", "yaml")
QUIET = {"PYTHONPATH": str(siblings.ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A working folder with modules that end any program that imports them."""
    for name in IN_THE_WAY:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name}.py of the working folder')\n")
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={**os.environ, **QUIET, **environment}, capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.mark.parametrize("command", [["train", "--help"], ["tasks", "--help"], ["prune", "zoo:none", "--task", "x"]])
def test_python_m_in_a_folder_with_modules_in_the_way(folder, command):
    said = run(folder, "-m", "sparsegpt2", *command)
    assert "of the working folder" not in said.stdout + said.stderr
    assert said.returncode == (0 if "--help" in command else 2), said.stderr


def test_a_working_folder_on_the_pythonpath_comes_last(folder):
    (folder / "mine.py").write_text("print('mine was found')\n")
    code = "from sparsegpt2.siblings import claim_process; claim_process()\n"
    code += "import random, train.config, mine; print(train.__file__)"
    said = run(folder, "-P", "-c", code, PYTHONPATH=f"{os.pathsep}{siblings.ROOT}")
    assert said.returncode == 0 and said.stdout.split("\n")[:2] == [
        "mine was found",
        str(siblings.ROOT / "train" / "__init__.py"),
    ], said.stderr


def test_lanes_start_processes_that_do_not_look_in_the_working_folder(folder):
    code = "from sparsegpt2.siblings import claim_process; claim_process(); from train.lanes import run_lanes\n"
    code += "run_lanes([[['train', '--help'], ['tasks', '--help']]], 1)"
    said = run(folder, "-P", "-c", code, PYTHONPATH=f"{os.pathsep}{siblings.ROOT}{os.pathsep}.")
    assert said.returncode == 0 and said.stdout.count("usage: sparsegpt2") == 2, said.stdout + said.stderr


def test_children_find_packages_that_only_sys_path_names(folder, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert siblings.environment()["PYTHONPATH"] == str(siblings.ROOT)
    monkeypatch.setattr(siblings.site, "getsitepackages", lambda: [str(siblings.ROOT)])
    assert siblings.environment()["PYTHONPATH"] == "", "what is installed is found without"


def test_in_a_notebook_our_packages_are_found_once_claimed(folder):
    for name in ("random", "torch", "numpy", "yaml", "code"):
        (folder / f"{name}.py").unlink()  # Python's own affair: a notebook imports these itself
    code = "import sparsegpt2.siblings as s; s.claim('train'); import train.config; print(train.config.__file__)"
    said = run(folder, "-c", code)
    assert said.stdout.strip() == str(siblings.ROOT / "train" / "config.py"), said.stderr


def test_the_users_own_train_stays_theirs_until_it_is_in_the_way(folder):
    (folder / "train.py").write_text("mine = 3\n")
    for name in ("random", "torch", "numpy", "yaml", "code"):
        (folder / f"{name}.py").unlink()
    code = """
import sparsegpt2, sparsegpt2.siblings as siblings
from train import mine
siblings.claim("eval_tasks")
import eval_tasks
print(mine, eval_tasks.__file__)
try:
    siblings.claim("train")
except sparsegpt2.UserError as error:
    print(error)
"""
    said = run(folder, "-c", code)
    assert said.stdout.splitlines() == [
        f"3 {siblings.ROOT / 'eval_tasks' / '__init__.py'}",
        f"the module 'train' imported here is {folder / 'train.py'}, which hides the package 'train' that sparsegpt2 "
        "needs; rename that file and start again",
    ], said.stderr
