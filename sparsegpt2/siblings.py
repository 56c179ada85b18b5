"""The packages `train` and `eval_tasks` lie next to `sparsegpt2` under plain names, and a user's train.py must not hide
them, nor they the user's.

Python looks for a module in the working folder first when it runs `python -m`, a notebook or a script there. So whoever
is about to import one of the two calls `claim`; a command, whose process is ours alone, calls `claim_process`.
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
"""The folder that holds the three packages: site-packages, or a clone."""


class SiblingFinder:
    """Finds the claimed packages in `ROOT`, whatever else `sys.path` holds under their names."""

    def __init__(self) -> None:
        self.claimed: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What Python asks every finder of `sys.meta_path`; None leaves the name to the others."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in self.claimed else None


_FINDER = SiblingFinder()


def claim(*names: str) -> None:
    """From now on `import name` is the package next to this one; by default for both.

    `UserError` if this process has already imported something else under that name. Modules that the user imported
    before stay as they are, and a name that was not claimed is still the user's.
    """
    for name in names or SIBLINGS:
        there = sys.modules.get(name)
        if there is not None and (ROOT / name).is_dir() and ROOT / name != _folder(there):
            file = getattr(there, "__file__", None) or "one without a file"
            raise UserError(
                f"the module {name!r} imported here is {file}, which hides the package {name!r} that sparsegpt2 needs; "
                f"rename it and start again"
            )
        _FINDER.claimed.add(name)
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


def claim_process() -> None:
    """For a process that runs nothing but one of our commands: imports no longer look in the working folder first.

    `python -m` puts it first, where a random.py or torch.py of the user would be imported by everything; that entry
    goes. A working folder that PYTHONPATH names comes last instead. In a clone it holds these packages, and stays.
    """
    here = Path(os.curdir).resolve()
    if here != ROOT:
        first = 0 if sys.flags.safe_path or not _is_folder(sys.path[0], here) else 1
        named = [entry for entry in sys.path[first:] if _is_folder(entry, here)]
        sys.path[:] = [entry for entry in sys.path[first:] if entry not in named] + named
    claim()


def command_line(arguments: Sequence[str]) -> list[str]:
    """How a process of its own runs `sparsegpt2 ARGUMENTS`, the working folder not on its path of imports."""
    return [sys.executable, "-P", "-u", "-m", "sparsegpt2", *arguments]


def environment() -> dict[str, str]:
    """Environment for `command_line`: this one, with a PYTHONPATH that leads to these packages and not to the working
    folder, which an empty entry means."""
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry not in ("", ".")]
    installed = [*site.getsitepackages(), site.getusersitepackages()]
    if not any(_is_folder(entry, ROOT) for entry in [*entries, *installed]):
        entries.append(str(ROOT))  # a clone, or a folder that someone put on sys.path
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entries)}


def _folder(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve().parent if file else None


def _is_folder(entry: str, folder: Path) -> bool:
    """Whether an entry of a search path is `folder`; an empty one is the working folder."""
    try:
        return Path(entry or ".").resolve() == folder
    except OSError:
        return False
