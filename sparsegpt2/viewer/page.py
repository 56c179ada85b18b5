"""Write the page: one HTML file that contains the style sheet, scripts, libraries, and the data as JSON."""

from __future__ import annotations

import json
from html import escape
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template

from sparsegpt2.files import write_text
from sparsegpt2.viewer.notes import Notes
from sparsegpt2.viewer.schema import FORMAT, KIND, CircuitData, PageData, RunData

LIBRARIES = ("cytoscape.min.js", "d3.min.js", "plot.min.js")
"""Files in `assets/vendor`, which also has their licences. The order matters: some of them need earlier ones."""
SCRIPTS = (
    "dom.js",
    "model.js",
    "layout.js",
    "graph.js",
    "charts.js",
    "snippets.js",
    "attention.js",
    "notes.js",
    "node.js",
    "task.js",
    "circuit.js",
    "run.js",
    "main.js",
)
"""Files in `assets`. On the page they run in this order and in one scope, so each can use what another one defines."""


def page_data(
    circuits: list[CircuitData], run: RunData | None = None, notes: Notes | None = None, title: str = ""
) -> PageData:
    """The data of a page that shows these circuits and this run.

    title: by default the name of the run or, without a run, the name of the first circuit.
    """
    return {
        "format": FORMAT,
        "kind": KIND,
        "title": title or (run["name"] if run else circuits[0]["name"]),
        "version": version("sparsegpt2"),
        "circuits": circuits,
        "run": run,
        "notes": notes or {},
    }


def page_html(data: PageData) -> str:
    """The whole page as HTML text."""
    assets = files("sparsegpt2.viewer").joinpath("assets")

    def read(*names: str) -> str:
        return assets.joinpath(*names).read_text(encoding="utf-8")

    libraries = "\n".join(f"<script>\n{read('vendor', name)}\n</script>" for name in LIBRARIES)
    scripts = "\n".join(read(name) for name in SCRIPTS)
    return Template(read("page.html")).substitute(
        title=escape(data["title"]),
        style=read("page.css"),
        data=_inert(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)),
        libraries=libraries,
        scripts=f'(() => {{\n"use strict";\n{scripts}\n}})();',
    )


def write_page(path: str | Path, data: PageData) -> int:
    """Write the page; returns its size in bytes."""
    write_text(path, page_html(data))
    return Path(path).stat().st_size


def _inert(text: str) -> str:
    """The JSON `text` with <, > and & replaced by escapes, so that an HTML parser finds no markup in it.

    Without this, a snippet that contains `</script>` would end the element that holds the data.
    """
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
