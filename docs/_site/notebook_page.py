"""The tutorial notebook: run it, and turn it into a page of the site.

    python docs/_site/notebook_page.py          # run docs/tutorial.ipynb and write its outputs as they are now into it

A notebook is JSON with four kinds of output. The page needs no more than this file, so the site does not depend on a
converter of notebooks; running it takes a Jupyter kernel (nbclient).
"""

from __future__ import annotations

import json
import re
import tempfile
from html import escape
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).parents[1] / "tutorial.ipynb"
LONGEST = 600
"""Seconds that one cell may take."""


def execute(path: Path, folder: Path) -> dict[str, Any]:
    """The notebook after all its cells ran in `folder`, in a new kernel of this Python. An error in one is raised."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=LONGEST, coalesce_streams=True, resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:  # times of each run, which would make every run another file
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.validate(notebook)
    return json.loads(nbformat.writes(notebook))


def page_of(path: Path) -> str:
    """The notebook as a page in Markdown."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        else:
            parts.append(f"```python\n{source}\n```")
            parts += filter(None, map(_output, cell["outputs"]))
    first, *others = parts
    download = f"[This page is a notebook.]({path.name}){{download}}"
    return "\n\n".join([first, download, *others]) + "\n"


def _output(output: dict[str, Any]) -> str:
    """One output of a cell; empty for what a page cannot show."""
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output.get("data", {})
    if "text/html" in data:
        html = "".join(data["text/html"])
        if "<iframe" in html:  # a page that the notebook wrote next to itself; the site has a picture of it
            return ""
        joined = re.sub(r"\n\s*", "", html)  # an empty line would end the block of HTML
        return f'<div class="cell-output">{joined}</div>'
    return _text("".join(data.get("text/plain", [])))


def _text(text: str) -> str:
    return f'<div class="cell-output"><pre>{escape(text.rstrip(), quote=False)}</pre></div>'.replace("\n", "&#10;")


def main() -> None:
    """Run the notebook and save it with its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = execute(NOTEBOOK, Path(folder))
    NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
