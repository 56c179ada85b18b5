"""The examples of the pages and of the tutorial: each is run as it is shown, and prints what is shown."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from eval_tasks.registry import TASKS
from sparsegpt2.circuits.pruners import PRUNERS
from sparsegpt2.components.methods import METHODS
from sparsegpt2.evidence.registry import CHECKS
from sparsegpt2.text.corpus import CORPORA
from tests.docs.pages import differs, run_page

DOCS = Path(__file__).parents[2] / "docs"
AFTER_THE_TUTORIAL = DOCS / "how-to/read-a-circuit.md"
"""Its examples read the circuit that the tutorial saves."""
PAGES = [
    page
    for page in sorted([*(DOCS / "how-to").glob("*.md"), DOCS / "reference/task-templates.md"])
    if page != AFTER_THE_TUTORIAL and ("\n```console\n" in page.read_text() or "\n```python\n" in page.read_text())
]


@pytest.fixture(autouse=True)
def own_code_is_forgotten():
    yield
    for kind in (TASKS, PRUNERS, CORPORA, METHODS, CHECKS):
        kind.introduced.clear()


def holds(page: Path, folder: Path) -> None:
    """Run a page's examples in `folder`; fails with the first output that is not what the page shows."""
    shown = run_page(page, folder)
    assert shown, "a page has an example with its output"
    for one in shown:
        assert not differs(one.text, one.real), f"{one.made_by}\n{differs(one.text, one.real)}\n\n{one.real}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page(page, tmp_path):
    holds(page, tmp_path)


def test_every_kind_of_own_code_has_its_page():
    assert {"own-task", "own-pruner", "own-corpus", "own-method", "own-check"} <= {page.stem for page in PAGES}


def texts(notebook: dict) -> list[tuple[str, str]]:
    """(what kind, text) of each output of a notebook."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            kind = next((kind for kind in ("text/html", "text/plain") if kind in data), output["output_type"])
            found.append((kind, "".join(data[kind] if data else output["text"])))
    return found


def test_the_tutorial_and_the_page_that_follows_it(tmp_path, monkeypatch):
    pytest.importorskip("nbclient")
    monkeypatch.syspath_prepend(DOCS / "_site")
    import notebook_page

    sys.modules.pop("notebook_page")
    notebook = json.loads(notebook_page.NOTEBOOK.read_text())
    real = notebook_page.execute(notebook_page.NOTEBOOK, tmp_path)
    shown_now, shown = texts(real), texts(notebook)
    assert [kind for kind, _ in shown_now] == [kind for kind, _ in shown] and len(shown) >= 10
    for (kind, text), (_, now) in zip(shown, shown_now, strict=True):
        if kind != "text/html":
            assert not differs(text, now), f"{differs(text, now)}\n\n{now}"
    assert "cytoscape" in (tmp_path / "quote.html").read_text()
    folder = tmp_path / "after"
    folder.mkdir()
    shutil.copy(tmp_path / "quote.json", folder)
    holds(AFTER_THE_TUTORIAL, folder)
