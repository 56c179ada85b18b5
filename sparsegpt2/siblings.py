"""Import our packages `train` and `eval_tasks` even if the user has a train.py or an eval_tasks.py.

The two packages are installed next to `sparsegpt2`, under names that users' files often have. With `python -m`, in a
notebook or in a script, Python looks for a module in the user's folder first. So code that is about to import one of
the two packages calls `claim` first. A command has a process of its own, and calls `claim_process` instead. A name
that was not claimed still means the user's module.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from sparsegpt2.errors import UserError

SIBLINGS = ("train", "eval_tasks")
ROOT = Path(__file__).resolve().parents[1]
"""The folder that contains the three packages: site-packages, or a clone of the repository."""


class SiblingFinder:
    """Finds the claimed packages in `ROOT`, even if `sys.path` has other modules with their names."""

    def __init__(self) -> None:
        self.claimed: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by Python for every finder in `sys.meta_path`; None leaves the name to the other finders."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in self.claimed else None


_FINDER = SiblingFinder()


def claim(*names: str) -> None:
    """Make `import NAME` mean our package of that name from now on, for each of `names`; by default for both packages.

    `UserError` if this process has already imported another module with that name.
    """
    for name in names or SIBLINGS:
        there = sys.modules.get(name)
        if there is not None and (ROOT / name).is_dir() and ROOT / name != _folder(there):
            file = getattr(there, "__file__", None) or "one without a file"
            raise UserError(
                f"the module {name!r} imported here is {file}, which hides the package {name!r} that sparsegpt2 needs; "
                f"rename that file and start again"
            )
        _FINDER.claimed.add(name)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def claim_process() -> None:
    """Claim both packages in a process that runs one of our commands, and stop imports from the working folder.

    `python -m` puts the working folder first on the search path, so that every package would import a user's random.py
    or torch.py. That entry is removed. If PYTHONPATH names the working folder as well, that entry is moved to the end.
    The search path is not changed if the working folder is `ROOT`.
    """
    here = Path(os.curdir).resolve()
    if here != ROOT:
        first = 0 if sys.flags.safe_path or not _is_folder(sys.path[0], here) else 1
        named = [entry for entry in sys.path[first:] if _is_folder(entry, here)]
        sys.path[:] = [entry for entry in sys.path[first:] if entry not in named] + named
    claim()


def command_line(arguments: Sequence[str]) -> list[str]:
    """The command line of a new process for `sparsegpt2 ARGUMENTS`, which imports nothing from the working folder."""
    return [sys.executable, "-P", "-u", "-m", "sparsegpt2", *arguments]


def environment() -> dict[str, str]:
    """The environment for `command_line`: PYTHONPATH has the folder of our packages, and not the working folder.

    An empty entry of PYTHONPATH means the working folder too, and is removed.
    """
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", ".")]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if not any(_is_folder(entry, ROOT) for entry in [*entries, *installed]):
        entries.append(str(ROOT))  # our packages are in a clone, or in a folder that was put on sys.path
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entries)}


def _folder(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else None


def _is_folder(entry: str, folder: Path) -> bool:
    """Whether an entry of a search path is `folder`; an empty entry means the working folder."""
    try:
        return Path(entry or ".").resolve() == folder
    except OSError:
        return False
