"""What the repository promises about itself: configs load, pages name what exists, README and CI agree."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from pathlib import Path

import pytest

from eval_tasks.bench.benchmark import BenchConfig
from sparsegpt2 import GPT, configs
from sparsegpt2.circuits import PruneConfig
from sparsegpt2.settings import Parser, settings_from
from sparsegpt2.sparsity.project import check_feasible
from train.config import TrainConfig

ROOT = Path(__file__).parent.parent
CONFIGS = sorted((configs.FOLDER).rglob("*.yaml"))


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


def test_documents_name_configs_that_ship():
    named = set()
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text()
        for arguments in re.findall(r"sparsegpt2 train ((?:[\w-]+/[\w-]+ )+)", text):
            named |= {str(configs.find(name)) for name in arguments.split() if "NAME" not in name}
        for name in re.findall(r"sparsegpt2\s+family ([a-z]\w+)", text):
            named.add(str(configs.find_folder(name)))
    assert len(named) >= 4


PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
FOLDERS = "sparsegpt2|train|eval_tasks|studies|benchmarks|tests|configs|docs"


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return text.strip().replace(" ", "-")


@lru_cache
def headings(page: Path) -> tuple[str, ...]:
    """Headings of a page, in order; lines of code are none."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"^#+ (.+)$", prose, re.MULTILINE))


@each_page
def test_links_of_a_page_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), f"{target} is no file"
        if anchor:
            assert anchor in map(slug, headings(file)), f"{target}#{anchor} is no heading"
    for name in re.findall(r"(?<![\w/.-])[\w/.-]+\.md\b", page.read_text()):
        places = (page.parent, ROOT, ROOT / "docs")
        assert any((place / name).exists() for place in places), f"{name} is no page"


ENTRY_POINTS = {f"sparsegpt2.{kind}" for kind in ("tasks", "pruners", "corpora", "methods", "checks", "readings")}
"""Groups of entry points, which are named like modules."""


@each_page
def test_paths_and_commands_that_a_page_names_exist(page):
    from sparsegpt2.cli import COMMANDS

    text = page.read_text()
    for path in re.findall(rf"(?<!--out )(?<![\w./@:-])(?:{FOLDERS})/[\w./*-]*[\w*]", text):
        if "NAME" in path:  # stands for any name
            continue
        found = (ROOT / path).exists() or any(ROOT.glob(path)) or list(ROOT.glob(f"{path}.yaml"))
        assert found, f"{path} is not in the repository"
    for command in re.findall(r"(?<=`)sparsegpt2 (\w+)|^sparsegpt2 (\w+)", text, re.MULTILINE):
        assert "".join(command) in COMMANDS
    for name in re.findall(r"`((?:sparsegpt2|train|eval_tasks)(?:\.\w+)+)", text):
        if not name.endswith((".toml", ".jsonl", ".json", ".yaml")) and name not in ENTRY_POINTS:
            assert_importable(name)


def assert_importable(name: str) -> None:
    """`package.module.attribute` can be reached, from the longest prefix that is a module."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            value = getattr(value, part)
        return
    raise AssertionError(f"{name} cannot be imported")


def test_definitions_name_code_that_is_where_they_say():
    text = " ".join((ROOT / "docs" / "definitions.md").read_text().split())
    named = re.findall(r"`([\w.]+)`(?: and `([\w.]+)`)? (?:in|of) `([\w/]+\.py)`", text)
    assert len(named) >= 15
    for *names, path in named:
        code = (ROOT / path).read_text()
        for name in filter(None, (part for one in names for part in one.split("."))):
            assert re.search(rf"(?:def|class) {name}\b|^ *{name}\b.* =|^ *{name}:", code, re.MULTILINE), (name, path)


def test_code_cites_pages_that_ship():
    """Every page named in code exists, and so does the heading named after it: `(docs/definitions.md, Task loss)`."""
    made_at_run_time = {"README.md", "OUT.md"}
    pages = {str(page.relative_to(ROOT)) for page in PAGES} | made_at_run_time
    in_folders = (file for folder in FOLDERS.split("|") for file in (ROOT / folder).rglob("*.*"))
    code = [file for file in in_folders if file.suffix in (".py", ".yaml")]
    for file in [*code, ROOT / "pyproject.toml", ROOT / "Makefile"]:
        text = file.read_text()
        if file.is_relative_to(ROOT / "tests") or file.parent == ROOT / "docs" / "_site":
            # they write pages of their own; only docs/ is meant
            text = "\n".join(re.findall(r"docs/[\w/.-]+\.md\b", text))
        for name in re.findall(r"[\w/.-]+\.md\b", text):
            assert name in pages, f"{file.relative_to(ROOT)} cites {name}"
        for name, heading in re.findall(r"(docs/[\w/]+\.md), ([A-Z][a-z]+(?: [a-z]+)*)", text):
            assert heading in headings(ROOT / name), f"{file.relative_to(ROOT)} cites {name}, {heading}"


def test_versions_are_pinned():
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert "torch==2.13.0" in pins
    assert all("==" in pin for pin in pins if pin and not pin.startswith("#"))
