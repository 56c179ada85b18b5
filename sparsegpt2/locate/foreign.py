"""Recognise folders in the format of `transformers`, which have a config.json like our models."""

from __future__ import annotations

from pathlib import Path

from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json

HINTS = {
    "circuitgpt": "a published sparse model in the form of transformers, which cannot be read; "
    "get its beeg_config.json and final_model.pt and use `sparsegpt2 import openai FOLDER --out DIR`",
    "gpt2": "a GPT-2; use `sparsegpt2 import gpt2 SOURCE --out DIR`",
    "sparsegpt2": "a model that was exported for transformers; use the model that it was exported from",
}
"""`model_type` -> what the folder holds, and what to do."""


def refuse_foreign(folder: Path, source: str, *, but: str = "") -> None:
    """`UserError` with a hint if the config.json in `folder` has one of the kinds in `HINTS`.

    source: the name of the folder in the message. but: the `model_type` that the caller can read, which is not refused.
    If the config.json is missing or damaged, nothing is raised: the code that reads the model says what is wrong.
    """
    try:
        config = read_json(folder / "config.json")
    except UserError:
        return
    kind = config.get("model_type") if isinstance(config, dict) else None
    if isinstance(kind, str) and kind in HINTS and kind != but:
        raise UserError(f"{source} is {HINTS[kind]}")
