"""Settings that come with the package: the YAML files of the quickstart, the family and the main pair.

Where a command reads a YAML file, `quickstart/sparse-256` means sparsegpt2/configs/quickstart/sparse-256.yaml. Where it
reads a folder, `family` means sparsegpt2/configs/family. A user's file or folder with that path takes precedence.
"""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.errors import UserError

FOLDER = Path(__file__).parent


def is_config(argument: str) -> bool:
    """Whether an argument of a command has the suffix of a YAML file, or is the name of a shipped one."""
    return argument.endswith((".yaml", ".yml")) or argument in names()


def find(name: str) -> Path:
    """The YAML file `name`, the user's or the shipped one, with or without suffix; `UserError` if there is neither."""
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    if name.removesuffix(".yaml") not in names():
        raise UserError(f"config file {name} does not exist, and the package has none of that name")
    return FOLDER / f"{name.removesuffix('.yaml')}.yaml"


def find_folder(name: str) -> Path:
    """The folder of YAML files `name`, the user's or the shipped one; `UserError` if there is neither."""
    if Path(name).is_dir():
        return Path(name)
    shipped = sorted({one.partition("/")[0] for one in names()})
    if name not in shipped:
        raise UserError(f"folder {name} does not exist; the package has {', '.join(shipped)}")
    return FOLDER / name


def names() -> list[str]:
    """The shipped YAML files, sorted: `family/base`, ..., `quickstart/sparse-256`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.yaml"))


def name_of(argument: str) -> str:
    """The name of a run with this config: the last part of its path, without the suffix."""
    return Path(argument).name.removesuffix(".yaml").removesuffix(".yml")
