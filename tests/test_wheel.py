"""The wheel: everything that is read at run time is in it, it stays small, and it runs outside a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from sparsegpt2.locate import zoo
from sparsegpt2.zoo.release import write_archive

ROOT = Path(__file__).parent.parent
PACKAGES = ("sparsegpt2", "train", "eval_tasks")
MOST_BYTES = 12_000_000
BROUGHT = {"dense-80", "memory-768"}
"""Models of the zoo in the wheel; the others are fetched."""
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of this tree, built from a copy, as building writes into it."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, copy)
    built = subprocess.run([sys.executable, "-c", BUILD, out], cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.glob("sparsegpt2-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder like site-packages that holds the wheel."""
    folder = tmp_path_factory.mktemp("site")
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def run(installed, tmp_path):
    """Run a command of the installed package in a folder that holds modules with names of ours and of others'."""
    for name in ("train", "eval_tasks", "torch", "random", "code"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name}.py of the working folder')\n")

    def call(*arguments: object) -> tuple[int, str, str]:
        environment = {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        said = subprocess.run(
            [sys.executable, "-m", "sparsegpt2", *map(str, arguments)], cwd=tmp_path, text=True, capture_output=True,
            env={**os.environ, **environment},
        )  # fmt: skip
        return said.returncode, said.stdout, said.stderr

    return call


def test_the_wheel_is_small(wheel):
    assert wheel.stat().st_size <= MOST_BYTES


def test_the_wheel_holds_every_file_of_the_packages_but_some_models(wheel):
    tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    fetched = set(zoo.index()) - BROUGHT
    assert len(fetched) == 3
    with ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == {name for name in tree if not name.startswith(tuple(f"sparsegpt2/zoo/{one}/" for one in fetched))}
    assert {"sparsegpt2/py.typed", "sparsegpt2/configs/quickstart/dense-32.yaml", "eval_tasks/english/ioi.py"} <= held


def test_commands_of_the_wheel_run_anywhere(run, tmp_path):
    status, out, err = run("zoo")
    where = {line.split()[0]: line.endswith(" here") for line in out.splitlines()[1:]}
    assert status == 0 and {name for name, here in where.items() if here} == BROUGHT, err
    assert "sparsegpt2 zoo --get sparse-256" in out
    status, _, err = run("prune", "zoo:sparse-256", "--task", "single_double_quote")
    assert status == 2 and err == (
        "sparsegpt2: error: zoo:sparse-256 is not on this machine; get it with `sparsegpt2 zoo --get sparse-256`\n"
    )
    write_archive("sparse-256", tmp_path / "release")
    status, out, err = run("zoo", "--get", "sparse-256", "--from", tmp_path / "release")
    assert status == 0 and Path(out.strip(), "config.json").is_file(), err
    assert Path(out.strip()).is_relative_to(tmp_path / "cache")
