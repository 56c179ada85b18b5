"""Rooms of the code at two commits: `python studies/rooms.py [BEFORE] [AFTER]`.

Prints the table of docs/decisions.md as Markdown, from git alone. A room is a folder or a module directly in
`sparsegpt2`, or another top-level folder. Tests are left out. All lines of Python files are counted.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

BEFORE, AFTER = "856f1db", "HEAD"
SMALL = 0.05
"""Rooms with less than this share of the code at both commits are put together in one line."""


def git(*arguments: str) -> bytes:
    """Standard output of a git command."""
    return subprocess.run(["git", *arguments], capture_output=True, check=True).stdout


def lines_of_files(commit: str) -> Counter[str]:
    """Path -> number of lines, for every Python file at a commit except tests."""
    lines: Counter[str] = Counter()
    for entry in git("ls-tree", "-r", commit).decode().splitlines():
        about, path = entry.split("\t", 1)
        if path.endswith(".py") and not path.startswith("tests/"):
            lines[path] = git("cat-file", "blob", about.split()[2]).count(b"\n")
    return lines


def room_of(path: str) -> str:
    """`sparsegpt2/circuits/trim.py` -> `circuits`, `sparsegpt2/files.py` -> `files`, `train/loop.py` -> `train`."""
    first, *rest = path.removesuffix(".py").split("/")
    return rest[0] if first == "sparsegpt2" and rest[0] != "__init__" else first


def rooms_table(before: Counter[str], after: Counter[str]) -> list[str]:
    """Markdown lines: lines and share of the code of every room at both commits, largest first."""
    sums = [Counter[str](), Counter[str]()]
    for total, files in zip(sums, (before, after), strict=True):
        for path, lines in files.items():
            total[room_of(path)] += lines
    small = [room for room in sums[0] | sums[1] if all(total[room] < SMALL * total.total() for total in sums)]
    for total in sums:
        total["smaller ones together"] = sum(total.pop(room, 0) for room in small)
    rows = ["| room | before | share | after | share |", "|---|---:|---:|---:|---:|"]
    for room in sorted(sums[0] | sums[1], key=lambda room: (-max(total[room] for total in sums), room)):
        cells = [f"{total[room]:,} | {total[room] / total.total():.1%}" if total[room] else " | " for total in sums]
        rows.append(f"| {room} | {cells[0]} | {cells[1]} |")
    return [*rows, f"| all | {sums[0].total():,} | | {sums[1].total():,} | |"]


def main() -> None:
    """Print the table, for the commits on the command line or for `BEFORE` and `AFTER`."""
    commits = [*sys.argv[1:], *(BEFORE, AFTER)[len(sys.argv) - 1 :]]
    before, after = (lines_of_files(commit) for commit in commits)
    print("\n".join(rooms_table(before, after)))


if __name__ == "__main__":
    main()
