"""YAML files of settings that come with the package, for `quickstart`, for the family of models and for the main page.

If a command expects a YAML file, `quickstart/sparse-256` means sparsegpt2/configs/quickstart/sparse-256.yaml. If it
expects a folder, `family` means sparsegpt2/configs/family. If the user has a file or folder of that path, it is used
instead.
"""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.errors import UserError

FOLDER = Path(__file__).parent


def is_config(argument: str) -> bool:
    """Whether an argument of a command ends in .yaml or .yml, or is the name of a YAML file of the package."""
    return argument.endswith((".yaml", ".yml")) or argument in names()


def find(name: str) -> Path:
    """The user's YAML file `name`, or else the package's; `UserError` if there is neither.

    The suffix may be omitted in the name of a file of the package.
    """
    if name.endswith((".yaml", ".yml")) and Path(name).is_file():
        return Path(name)
    if name.removesuffix(".yaml") not in names():
        raise UserError(f"config file {name} does not exist, and the package has no config file of that name")
    return FOLDER / f"{name.removesuffix('.yaml')}.yaml"


def find_folder(name: str) -> Path:
    """The user's folder `name`, or else the package's folder of that name; `UserError` if there is neither."""
    if Path(name).is_dir():
        return Path(name)
    shipped = sorted({one.partition("/")[0] for one in names()})
    if name not in shipped:
        raise UserError(f"folder {name} does not exist; the package has the folders {', '.join(shipped)}")
    return FOLDER / name


def names() -> list[str]:
    """Sorted names of the package's YAML files: `family/base`, ..., `quickstart/sparse-256`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.glob("*/*.yaml"))


def name_of(argument: str) -> str:
    """The name of a run with this config: the last part of its path, without the suffix."""
    return Path(argument).name.removesuffix(".yaml").removesuffix(".yml")
