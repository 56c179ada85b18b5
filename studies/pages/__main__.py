"""Write the numbers of README and docs from committed results: `python -m studies.pages`.

    python -m studies.pages              fill every marker of README.md and docs
    python -m studies.pages --check      name file, marker, what is there and what is right; status 1 if they differ
    python -m studies.pages --figures    draw the figures of docs/results again, then fill the markers
    python -m studies.pages --pack       first move rows that were added to docs/results into the packed files

The numbers come from `docs/results/*/results.jsonl.gz` (and `results.jsonl`, where rows were added), from JSON files of
`docs/results` and from `benchmarks/results`. How a marker looks: `markers.py` in this folder. What can be named: the
functions under `@number` in this folder.
"""

from __future__ import annotations

import argparse
import sys

from sparsegpt2.files import write_text
from studies.pages.markers import Difference, MarkerError, fill, first_difference
from studies.pages.registry import value
from studies.pages.rows import FOLDERS, ROOT


def pages() -> dict[str, str]:
    """Path relative to the repository -> text, for every page that may hold markers."""
    words = sorted((ROOT / "sparsegpt2" / "reading" / "words").glob("*.md"))  # parts of docs/results/circuits.md
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *words]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def compared() -> dict[str, tuple[str, list[Difference]]]:
    """Page -> (its text with every number as the results have it, what differs now)."""
    found = {}
    for path, text in pages().items():
        try:
            found[path] = fill(text, value)
        except MarkerError as error:
            raise SystemExit(f"{path}: {error}") from error
    return found


def check() -> list[str]:
    """A line for each place where a page differs from the results: file, marker, found, right."""
    lines = []
    for path, (_, differences) in compared().items():
        for each in differences:
            found, right = first_difference(each)
            lines.append(f"{path}: {each.marker}: found {found!r}, right is {right!r}")
    return lines


def draw_figures() -> None:
    """Draw the figures of every results folder, as PNG, with their tables as CSV."""
    from sparsegpt2.report.frontier import write_frontier

    for folder in FOLDERS.values():
        for path in write_frontier([folder], folder / "frontier.png"):
            if path.suffix == ".svg":
                path.unlink()  # no page links it


def pack() -> None:
    """Move rows that were added to a folder into its packed file."""
    from sparsegpt2.results import RESULTS, pack_rows

    for folder in FOLDERS.values():
        if (folder / RESULTS).exists():
            pack_rows(folder)


def main() -> None:
    """Fill or compare, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m studies.pages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; name what differs")
    parser.add_argument("--figures", action="store_true", help="draw the figures again as well")
    parser.add_argument("--pack", action="store_true", help="first pack rows that were added to docs/results")
    arguments = parser.parse_args()
    if arguments.check:
        lines = check()
        print("\n".join(lines) or "every number is that of the results")
        sys.exit(1 if lines else 0)
    if arguments.pack:
        pack()
    if arguments.figures:
        draw_figures()
    for path, (text, differences) in compared().items():
        if differences:
            write_text(ROOT / path, text)
            print(f"{path}: {len(differences)} changed")


if __name__ == "__main__":
    main()
