"""Find the files that a path means: one file, those in a folder, or those that match a pattern.

Hidden files, and folders that are hidden, vendored or environments, are left out.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from sparsegpt2.errors import UserError

VENDORED = (
    "node_modules",
    "bower_components",
    "vendor",
    "third_party",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "__pypackages__",
    "venv",
    "build",
    "dist",
    "*.egg-info",
    "*.dist-info",
)
"""Names of folders whose files are usually not a project's own; `*` matches any characters."""
MARKS = ("pyvenv.cfg", "conda-meta", "CACHEDIR.TAG")
"""A folder that holds one of these is an environment or a cache."""


@dataclass
class Found:
    """The files at a path, and what was left out by its name alone."""

    root: Path
    """The folder that the names of files are relative to."""
    files: list[Path] = field(default_factory=list)
    """Sorted, so that nothing depends on the order in which the system lists a folder."""
    left_out: dict[str, list[str]] = field(default_factory=dict)
    """Reason, such as `hidden file` -> names relative to `root`."""

    def name(self, path: Path) -> str:
        """The name of a file relative to `root`, with slashes: the same wherever the folder lies."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def leave_out(self, reason: str, path: Path) -> None:
        """Note that a file or folder is left out."""
        self.left_out.setdefault(reason, []).append(self.name(path))


def find_files(path: str) -> Found:
    """The files at a path or matching a pattern; `UserError` if nothing is there.

    What the path names itself is always read: `.venv` or `src/build/*.py` find files that a search of the folder above
    would leave out.
    """
    root = Path(path).expanduser()
    if root.is_file():
        return Found(root.parent, [root])
    if root.is_dir():
        found = Found(root)
        _search(root, found)
    else:
        matching = _matching(root)
        if matching is None:
            raise UserError(f"corpus files: {path} is neither a file, nor a folder, nor a pattern that matches a file")
        found = matching
    found.files.sort()
    return found


def _search(folder: Path, found: Found) -> None:
    def unreadable(error: OSError) -> None:
        found.leave_out("unreadable folder", Path(str(error.filename)))

    for here, folders, names in os.walk(folder, onerror=unreadable):
        for name in sorted(folders):
            if reason := _reason_to_skip(Path(here, name)):
                folders.remove(name)
                found.leave_out(reason, Path(here, name))
        for name in sorted(names):
            _take(Path(here, name), found)


def _take(path: Path, found: Found) -> None:
    """Add a file, or note why it is left out."""
    if path.name.startswith("."):
        found.leave_out("hidden file", path)
    elif path.is_file():
        found.files.append(path)
    else:
        found.leave_out("broken link or special file", path)


def _reason_to_skip(folder: Path, named: Iterable[str] = ()) -> str:
    """Why a folder is not searched; empty if it is. named: names of folders that are always searched."""
    if folder.name in named:
        return ""
    if folder.is_symlink():
        return "linked folder"  # a link may lead to a folder above, or out of the corpus
    if folder.name.startswith(".") or any(fnmatch(folder.name, name) for name in VENDORED):
        return "hidden or vendored folder"
    return "environment or cache" if any((folder / mark).exists() for mark in MARKS) else ""


def _matching(pattern: Path) -> Found | None:
    """The files that match a pattern; if it matches only folders, the files in them. None if it matches nothing."""
    parts = pattern.parts
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    found, named = Found(Path(*parts[:fixed])), set(parts)
    skipped: dict[Path, str] = {}
    folders = []
    for match in sorted({Path(one) for one in glob.glob(str(pattern), recursive=True)}):
        above = [Path(*match.parts[:end]) for end in range(fixed + 1, len(match.parts))]
        inside = next((one for one in above if skipped.setdefault(one, _reason_to_skip(one, named))), None)
        if inside is not None:
            if found.name(inside) not in found.left_out.get(skipped[inside], []):
                found.leave_out(skipped[inside], inside)
        elif match.is_dir():
            folders.append(match)
        elif match.is_file():
            found.files.append(match)
    if not found.files:
        for folder in folders:
            if not any(other in folder.parents for other in folders):
                _search(folder, found)
    return found if found.files or found.left_out or folders else None
