"""The text that a model was trained on, if the prepared tokens of its run still exist."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from sparsegpt2.files import read_json
from sparsegpt2.locate import candidates
from sparsegpt2.settings.yaml_file import read_yaml
from sparsegpt2.text.data import MANIFEST, TokenData
from sparsegpt2.text.tokenizer import Tokenizer


def training_text(directory: str | Path, rows: int, context: int) -> Tensor | None:
    """`rows` windows [rows, context] int64 of the train split that a model was trained on, the same at every call.

    None if the run's settings or its prepared tokens are gone, or if the tokens were made with another tokenizer.

    directory: the model's own folder, as `model_directory` returns it (RUN/best, not RUN).
    """
    settings = Path(directory).parent / "config.yaml"
    if not settings.is_file():
        return None
    folder = read_yaml(settings).get("data_folder")
    if not isinstance(folder, str):
        return None
    wanted = Tokenizer.load(directory).fingerprint
    for place in candidates(folder, settings):
        for manifest in sorted(place.glob(f"*/{MANIFEST}")):
            found = read_json(manifest, "manifest")
            if isinstance(found, dict) and found.get("tokenizer") == wanted:  # others need not even be whole
                return TokenData(manifest.parent).batch("train", 0, rows, context, seed=0)[0]
    return None
