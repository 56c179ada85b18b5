"""The site: what its pages show of the code, and that each page is in its menu and each link leads somewhere."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

import sparsegpt2
from sparsegpt2.cli import COMMANDS
from sparsegpt2.errors import UserError
from sparsegpt2.settings.help import field_docs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = {"tutorial.md", "contributing.md", "changelog.md", "security.md"}
"""Pages that the build makes of files elsewhere."""


@pytest.fixture
def hooks(monkeypatch):
    """docs/_site/hooks.py, as mkdocs loads it."""
    pytest.importorskip("mkdocs")
    monkeypatch.syspath_prepend(DOCS / "_site")
    import hooks

    yield hooks
    for name in ("hooks", "notebook_page"):
        sys.modules.pop(name, None)


def test_the_menu_has_every_page():
    class Loader(yaml.SafeLoader):
        """Reads mkdocs.yml without making the objects that it names."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    menu = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"]
    listed = re.findall(r"[\w/-]+\.md", json.dumps(menu))
    assert len(listed) == len(set(listed))
    assert set(listed) == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} | ELSEWHERE


def test_the_page_of_the_command_line_has_every_command(hooks):
    page = (DOCS / "reference/command-line.md").read_text()
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == list(COMMANDS)
    for name in set(COMMANDS) - {"completion"}:
        assert f"## {name}\n\n<!-- command {name} -->\n" in page
    shown = hooks.command("prune")
    assert "--target_loss X" in shown and "--headroom X" in shown and 'note "Every setting of `prune`"' in shown
    assert "note" not in hooks.command("zoo")  # its short help has all there is


def test_the_page_of_settings_has_every_field_with_its_meaning(hooks):
    page = (DOCS / "reference/settings.md").read_text()
    named = re.findall(r"^<!-- settings ([\w.]+) -->$", page, re.MULTILINE)
    public = [name for name in sparsegpt2.__all__ if name.endswith("Config")]
    assert {path.rpartition(".")[2] for path in named} >= set(public)
    for path in [*named, "sparsegpt2.results.rows.Row", "eval_tasks.base.PairTask"]:
        rows = hooks.settings(path).splitlines()[2:]
        for row in rows:
            name, _default, meaning = re.split(r"(?<!\\)\|", row)[1:4]
            assert meaning.strip(), f"{path} does not say what {name} means"
    table = hooks.settings("sparsegpt2.circuits.PruneConfig")
    assert "| `target_loss` | `0.15` |" in table and "| `betas` | `0.9`<br>`0.95` |" in table


def test_inherited_settings_are_documented():
    docs = field_docs(sparsegpt2.PruneConfig)
    assert {field.name for field in fields(sparsegpt2.PruneConfig)} == set(docs)


def test_the_page_of_the_api_has_every_public_name():
    page = (DOCS / "reference/python-api.md").read_text()
    named = re.findall(r"^(?:::: |- `)sparsegpt2\.(\w+)", page, re.MULTILINE)
    assert sorted([*named, "__version__"]) == sorted(sparsegpt2.__all__)


def test_links_are_those_of_the_site(hooks):
    class Page:
        class file:
            src_uri = "how-to/own-task.md"

    def shown(text: str) -> str:
        return hooks.on_page_markdown(text, Page)

    assert shown("[a](../tutorial.ipynb#x)") == "[a](../tutorial.md#x)"
    assert shown("[a](../../CHANGELOG.md)") == "[a](../changelog.md)"
    assert shown("[a](../../studies/rooms.py)") == "a (`studies/rooms.py` in the repository)"
    for same in ("[a](own-pruner.md#b)", "[a](https://example.org/x)", "```\n[a](../../x.md)\n```"):
        assert shown(same) == same
    text = "<!-- settings sparsegpt2.viewer.config.ViewConfig -->"
    assert "| `windows` | `256` |" in shown(text)


def test_the_notebook_becomes_a_page(hooks, tmp_path):
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a < b\n", "\n", "c\n"]},
        {"output_type": "execute_result", "data": {"text/html": "<table>\n\n<tr></tr></table>", "text/plain": "x"}},
        {"output_type": "execute_result", "data": {"text/html": '<iframe src="x.html"></iframe>', "text/plain": "x"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# A\n", "\n", "text"]},
        {"cell_type": "code", "source": ["1 + 1"], "outputs": outputs},
    ]
    (tmp_path / "n.ipynb").write_text(json.dumps({"cells": cells}))
    page = hooks.page_of(tmp_path / "n.ipynb")
    assert page.startswith("# A\n\ntext\n\n[") and "](n.ipynb)" in page and "```python\n1 + 1\n```" in page
    assert "<pre>a &lt; b&#10;&#10;c</pre>" in page and "<table><tr></tr></table>" in page and "iframe" not in page


def commands_on(page: Path) -> list[list[str]]:
    """The lines of a page's blocks of code that start a command of sparsegpt2."""
    import shlex

    found = []
    for block in re.findall(r"^ *```(?:sh|console)?\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            words = line.strip().removeprefix("$ ")
            if words.startswith("sparsegpt2 "):
                found.append(shlex.split(words, comments=True)[1:])
    return found


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_on_a_page_have_the_flags_that_there_are(page):
    """They are read by the commands' own parsers, and not run."""
    for name, *arguments in commands_on(page):
        if name.startswith("-") or name == "completion":
            continue
        parser = COMMANDS[name].parser()
        try:
            parser.parse(arguments)
        except UserError as error:
            if not re.search(r"does not exist|needs --|--set\.", f"{error} {arguments}"):
                raise AssertionError(f"{name} {arguments}: {error}") from None


def test_numbers_and_outputs_are_compared():
    """The comparison of tests/docs/pages.py itself: what is close enough, and what is not."""
    from tests.docs.pages import differs

    for shown, real in (
        ("loss 0.10 ± 0.02\n", "loss 0.11 ± 0.01\n"),
        ("done 1.2 s\n", "done 99.9 s\n"),
        ("a ... c\n", "a b c\n"),
        ("...\nend\n", "1\n2\nend\n"),
        ("edges 1,200", "edges 1,300"),
    ):
        assert not differs(shown, real), (shown, real)
    for shown, real in (
        ("loss 0.10\n", "loss 0.20\n"),
        ("loss 0.10\n", "lost 0.10\n"),
        ("one\n", "one\ntwo\n"),
        ("one\ntwo\n", "one\n"),
        ("...\nend\n", "1\n2\n"),
        ("edges 21\n", "edges 210\n"),
    ):
        assert differs(shown, real), (shown, real)
