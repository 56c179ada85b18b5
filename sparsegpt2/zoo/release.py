"""Make a release of the zoo: a folder with an archive of each model, from which `sparsegpt2 zoo --get NAME` fetches."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from sparsegpt2.config import require
from sparsegpt2.files import replacing, write_json, write_text
from sparsegpt2.interop.hub import CARD
from sparsegpt2.locate import zoo
from sparsegpt2.zoo.export import card_of
from sparsegpt2.zoo.listing import facts_of


def archive_name(name: str) -> str:
    """File name of a model's archive in the folder of a release."""
    return f"{name}.zip"


def release(out: str | Path) -> list[Path]:
    """Update the package's cards and index, and write the index and an archive of each model into the folder `out`.

    Returns the paths of the archives. This needs a clone of the repository, which has all models: `UserError` if a
    model that the index lists is missing from the package.
    """
    gone = [name for name in zoo.index() if not (zoo.FOLDER / name / "config.json").exists()]
    require(
        not gone,
        f"{zoo.INDEX} lists models that are not in {zoo.FOLDER} ({', '.join(gone)}); make a release in a clone of the "
        f"repository, which has all models, or delete from {zoo.INDEX} the models that were removed",
    )
    for entry in zoo.FOLDER.glob("*/config.json"):
        write_text(entry.parent / CARD, card_of(entry.parent.name))
    made = make_index()
    write_json(zoo.FOLDER / zoo.INDEX, made)
    write_json(Path(out) / zoo.INDEX, made)
    return [write_archive(name, Path(out)) for name in made["models"]]


def write_archive(name: str, out: Path) -> Path:
    """Write the archive of a model in the package into the folder `out`. The same files give the same bytes."""
    path = out / archive_name(name)
    with replacing(path) as temporary, ZipFile(temporary, "w", ZIP_DEFLATED) as archive:
        for file in sorted((zoo.FOLDER / name).iterdir()):
            member = ZipInfo(f"{name}/{file.name}", (1980, 1, 1, 0, 0, 0))  # fixed, not the date of the file
            member.compress_type = ZIP_DEFLATED
            archive.writestr(member, file.read_bytes())
    return path


def make_index() -> dict[str, Any]:
    """The index of all models in the zoo's folder: facts about each, and size and checksum of each of its files."""
    models = {}
    for folder in sorted(entry.parent for entry in zoo.FOLDER.glob("*/config.json")):
        files = {}
        for file in sorted(folder.iterdir()):
            content = file.read_bytes()
            files[file.name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        models[folder.name] = {"facts": facts_of(folder.name), "files": files}
    return {"format": 1, "models": models}
