"""What the repository promises about itself: configs load, README and CI run the same commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval_tasks.bench.benchmark import BenchConfig
from sparsegpt2 import GPT
from sparsegpt2.circuits import PruneConfig
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.sparsity.project import check_feasible
from train.config import TrainConfig

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_config_loads_and_can_be_met(path):
    assert path.read_text().startswith("# For: "), "a config's first line says what it is for"
    parser = Parser("test", "")
    if path.name.startswith("bench"):
        parser.add_settings(BenchConfig)
        parser.add_settings(PruneConfig, "prune", skip=("pruner", "seed"))
        settings_from(parser.parse([str(path)]), BenchConfig)
    else:
        parser.add_settings(TrainConfig)
        base = path.with_name("base.yaml")  # of a family, whose other files are read over it
        config = settings_from(parser.parse([*([str(base)] if base.exists() else []), str(path)]), TrainConfig)
        check_feasible(GPT(config.model), config.sparsity)
        assert config.model.vocab_size == config.data.vocab_size


def test_configs_are_found():
    assert len(CONFIGS) >= 4


def test_ci_runs_the_command_of_the_readme():
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    commands = set(re.findall(r"^make \w+$", readme, re.MULTILINE))
    assert commands == {"make quickstart", "make test"}
    assert re.search(r"^make test$", ci, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    for command in commands:
        assert re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE)


def test_readme_names_commands_and_files_that_exist():
    from sparsegpt2.cli import COMMANDS

    readme = (ROOT / "README.md").read_text()
    for command in re.findall(r"^sparsegpt2 (\w+)", readme, re.MULTILINE):
        assert command in COMMANDS
    for path in re.findall(r"\]\((?!http|#)([^)#]+)", readme):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"(configs/[\w/.-]+\.yaml)", readme):
        assert (ROOT / path).exists(), path


def test_versions_are_pinned():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in pins
    assert all("==" in pin for pin in pins if pin and not pin.startswith("#"))
