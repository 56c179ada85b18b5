"""Run the examples of a documentation page, and compare what they print with what the page shows.

A page is run from top to bottom in one empty folder:

- a block with a title, ```` ```python title="mine.py" ````, is a file, written as it is shown;
- in a block ```` ```console ````, each line that starts with `$ ` is a command, and the lines below it are its output;
- a block ```` ```python ```` is run, with the names of the blocks before it; a block ```` ```text ```` right behind it
  is what it prints.

In shown output, `...` stands for any characters, and a line of `...` alone for any lines. Numbers may differ a little,
as other machines round differently, and times by any amount.

    python -m tests.docs.pages docs/how-to/own-task.md        # write the outputs as they are now into the page
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^```\n", re.M | re.S)
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
TIME = re.compile(r"\d[\d,.]* (?:s|MB|tokens/s)\b")
TOLERANCE = 0.3
"""Largest relative difference between a shown number and a real one."""


@dataclass
class Shown:
    """One output on a page."""

    made_by: str
    """The command or the code."""
    start: int
    end: int
    """Where the output stands in the text of the page."""
    text: str
    """What the page shows."""
    real: str
    """What was printed now."""


def run_page(path: Path, folder: Path) -> list[Shown]:
    """Run the examples of a page in `folder`. An error in one of them is raised."""
    page = path.read_text(encoding="utf-8")
    return list(_run(page, path.name, folder))


def _run(page: str, name: str, folder: Path) -> Iterator[Shown]:
    names: dict[str, object] = {"__name__": "page"}
    printed: tuple[str, str, int] | None = None  # (code, output, where its block ends) of the latest code
    for block in BLOCK.finditer(page):
        language, title, code = block["language"], block["title"], block["code"]
        if title:
            file = folder / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
        elif language == "console":
            yield from _console(code, block.start("code"), folder)
        elif language == "python":
            with chdir(folder), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()):
                exec(compile(code, name, "exec"), names)
            printed = code, out.getvalue(), block.end()
        elif language == "text" and printed and not page[printed[2] : block.start()].strip():
            yield Shown(printed[0], block.start("code"), block.end("code"), code, printed[1])


def _console(code: str, offset: int, folder: Path) -> Iterator[Shown]:
    parts = re.split(r"^\$ (.*(?:\\\n.*)*)\n", code, flags=re.M)
    assert not parts[0].strip(), f"output without a command: {parts[0]!r}"
    place = offset + len(parts[0])
    for line, output in zip(parts[1::2], parts[2::2], strict=True):
        place += len(f"$ {line}\n")
        real = run_command(line, folder)
        assert "sparsegpt2: error" not in real or "sparsegpt2: error" in output, f"{line}\n{real}"
        yield Shown(line, place, place + len(output), output, real)
        place += len(output)


def run_command(line: str, folder: Path) -> str:
    """What a line prints to stdout, or the error that it ends with, if it is a command of sparsegpt2."""
    from sparsegpt2.cli import COMMANDS
    from sparsegpt2.settings import run_commands

    program, *arguments = shlex.split(line.replace("\\\n", " "))
    assert program == "sparsegpt2", f"pages run only sparsegpt2, not {line!r}"
    with chdir(folder), redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        status = run_commands("sparsegpt2", COMMANDS, arguments)
    told = [one for one in err.getvalue().splitlines() if one.startswith("sparsegpt2: ")]
    assert status in (0, 2), f"{line}: status {status}\n{err.getvalue()}"
    return out.getvalue() + "".join(f"{one}\n" for one in told)


# --- Comparing ------------------------------------------------------------------------------------------------------


def differs(shown: str, real: str) -> str:
    """Why the real output is not what is shown; empty if it is."""
    lines, at = real.splitlines(), 0
    wanted = shown.splitlines()
    for number, line in enumerate(wanted):
        if line.strip() == "...":
            following = next((one for one in wanted[number + 1 :] if one.strip() != "..."), None)
            while at < len(lines) and (following is None or not _alike(following, lines[at])):
                at += 1
            continue
        if at == len(lines) or not _alike(line, lines[at]):
            return f"the page shows {line!r}, but it is {lines[at] if at < len(lines) else 'nothing'!r}"
        at += 1
    return f"the page leaves out {lines[at]!r}" if at < len(lines) else ""


def _alike(shown: str, real: str) -> bool:
    shown, real = (TIME.sub("TIME", line.rstrip()) for line in (shown, real))
    words = [re.escape(part).replace(r"\.\.\.", ".*") for part in NUMBER.split(shown)]
    found = re.fullmatch(f"({NUMBER.pattern})".join(words), real)
    return bool(found) and all(map(_near, NUMBER.findall(shown), found.groups()))


def _near(shown: str, real: str) -> bool:
    one, other = (float(text.replace(",", "")) for text in (shown, real))
    return abs(one - other) <= max(TOLERANCE * max(abs(one), abs(other)), 0.03)


def rewrite(path: Path) -> None:
    """Run a page and write what its examples print now into it, except where the page shows a part with `...`."""
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        shown = run_page(path, Path(folder))
    for one in reversed(shown):
        if "..." in one.text and not differs(one.text, one.real):
            continue
        lines = "".join(f"{line.rstrip()}\n" for line in one.real.splitlines())
        page = page[: one.start] + lines + page[one.end :]
    path.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for argument in sys.argv[1:]:
        rewrite(Path(argument).resolve())
