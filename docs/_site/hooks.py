"""What `mkdocs build` does to the pages: generated parts, the notebook, and links that lead out of this folder.

A page asks for a generated part with a comment, which stays invisible where pages are read as they are:

    <!-- command prune -->                   the help of a command, from its own parser
    <!-- settings sparsegpt2.config.GPTConfig -->     the fields of a dataclass, with default and meaning

So these parts can't differ from the code.
"""

from __future__ import annotations

import os
import re
from dataclasses import MISSING, Field, fields
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files
from notebook_page import NOTEBOOK, page_of

from sparsegpt2.cli import COMMANDS
from sparsegpt2.settings.help import field_docs, full_help, short_help, written

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
FROM_ROOT = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "security.md"}
"""Pages of the repository's root that are pages of the site too: file -> page."""
PART = re.compile(r"^<!-- (command|settings) ([\w.]+) -->$", re.MULTILINE)
LINK = re.compile(r"(!?)\[((?:[^\]\[]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)

os.environ["COLUMNS"] = "92"  # the width of the help, whatever terminal builds the site


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made from files elsewhere, and from the notebook."""
    for name, page in FROM_ROOT.items():
        text = _prose(LINK, _from_root, (ROOT / name).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, _page(NOTEBOOK.name), content=page_of(NOTEBOOK)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill the generated parts, and let links lead to pages of the site."""
    source = page.file.src_uri
    markdown = PART.sub(lambda part: {"command": command, "settings": settings}[part[1]](part[2]), markdown)
    if source in FROM_ROOT.values():
        return markdown
    return _prose(LINK, lambda link: _from_docs(link, source), markdown)


def command(name: str) -> str:
    """The help of a command: the short one, and the whole one to open."""
    parser = COMMANDS[name].parser()
    short, full = short_help(parser), full_help(parser)
    text = f"{COMMANDS[name].says}\n\n```text\n{short}\n```\n"
    if parser.fronts and len(parser.options) > sum(map(len, parser.fronts.values())):
        indented = "\n".join(f"    {line}".rstrip() for line in f"```text\n{full}\n```".split("\n"))
        text += f'\n??? note "Every setting of `{name}`"\n\n{indented}\n'
    return text


def settings(path: str) -> str:
    """A table of a dataclass's fields: name, default, meaning."""
    module, _, name = path.rpartition(".")
    kind = getattr(import_module(module), name)
    docs = field_docs(kind)
    lines = ["| name | default | meaning |", "|---|---|---|"]
    for field in fields(kind):
        lines.append(f"| `{field.name}` | {_default(field)} | {_cell(docs[field.name])} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A docstring as the cell of a table: what is not code must not be taken for markup."""
    parts = re.split("(`[^`]*`)", text)  # every second one is code
    parts[::2] = [re.sub(r"([*_<\[])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts).replace("|", "\\|")


def _default(field: Field[Any]) -> str:
    if field.default_factory is not MISSING:
        value = field.default_factory()
        return f"`{written(value)}`" if isinstance(value, tuple | int | float) else ""
    if field.default is MISSING:
        return "(needed)"
    if field.default is None or field.default in ("", ()):
        return ""
    return "<br>".join(f"`{one}`" for one in written(field.default).split(",")) if field.default is not True else "yes"


# --- Links ----------------------------------------------------------------------------------------------------------


def _prose(pattern: re.Pattern[str], replace: Any, text: str) -> str:
    """`pattern.sub`, except in blocks of code."""
    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else pattern.sub(replace, part) for part in parts)


def _from_root(link: re.Match[str]) -> str:
    """A link on a page of the root, as it must be on a page of the site."""
    image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
    if "://" in target:
        return link[0]
    if target in FROM_ROOT:
        return f"{image}[{text}]({FROM_ROOT[target]}{anchor})"
    if target.startswith("docs/"):
        return f"{image}[{text}]({_page(target.removeprefix('docs/'))}{anchor})"
    return f"{text} (`{target}`)"


def _from_docs(link: re.Match[str], source: str) -> str:
    """A link on a page of docs: one that leads out of docs becomes a page of the site, or the file's name."""
    image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
    if "://" in target:
        return link[0]
    folder = PurePosixPath("docs", source).parent
    path = os.path.normpath(folder / target)
    if path in FROM_ROOT:
        return f"{image}[{text}]({os.path.relpath(FROM_ROOT[path], folder.relative_to('docs'))}{anchor})"
    if path.split("/")[0] != "docs":
        return f"{text} (`{path}` in the repository)"
    return f"{image}[{text}]({target if source == _page(NOTEBOOK.name) else _page(target)}{anchor})"


def _page(target: str) -> str:
    """The page that shows the notebook, instead of the notebook."""
    return target.removesuffix(".ipynb") + ".md" if target.endswith(NOTEBOOK.name) else target
