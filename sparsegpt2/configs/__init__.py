"""Settings that ship with the package: the YAML files of the quickstart, the family and the main pair.

`quickstart/sparse-256` names sparsegpt2/configs/quickstart/sparse-256.yaml wherever a command reads a YAML file, and
`family` the folder. A file or folder of the user with that path comes first.
"""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.errors import UserError

FOLDER = Path(__file__).parent


def is_config(argument: str) -> bool:
    """Whether an argument of a command is a YAML file by its suffix, or the name of a shipped one."""
    return argument.endswith((".yaml", ".yml")) or argument in names()


def find(name: str) -> Path:
    """The YAML file `name`, the user's or the shipped one, with or without suffix; `UserError` if there is neither."""
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    if name.removesuffix(".yaml") not in names():
        raise UserError(f"config file {name} does not exist, nor does the package bring one of that name")
    return FOLDER / f"{name.removesuffix('.yaml')}.yaml"


def find_folder(name: str) -> Path:
    """The folder of YAML files `name`, the user's or the shipped one; `UserError` if there is neither."""
    if Path(name).is_dir():
        return Path(name)
    shipped = sorted({one.partition("/")[0] for one in names()})
    if name not in shipped:
        raise UserError(f"folder {name} does not exist; the package brings {', '.join(shipped)}")
    return FOLDER / name


def names() -> list[str]:
    """The shipped YAML files, sorted: `family/base`, ..., `quickstart/sparse-256`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.yaml"))


def name_of(argument: str) -> str:
    """What a run of this config is called: the last part of its path, without suffix."""
    return Path(argument).name.removesuffix(".yaml").removesuffix(".yml")
