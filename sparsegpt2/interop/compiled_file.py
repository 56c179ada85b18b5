"""The checks of a compiled program's files: `model.json`, value by value, and the headers of the arrays.

Shapes: T positions of an example, D d_model.
"""

from __future__ import annotations

import math
from typing import IO, Any

import numpy as np

from sparsegpt2.config import require

SIZES = {"n_layer": 1, "d_model": 1, "n_head": 1, "d_head": 1, "d_mlp": 0}
"""Sizes in `model.json`, with the smallest possible value of each."""


def check(about: Any, embeddings: tuple[int, ...], context: int) -> None:
    """`UserError` that names the first value of `model.json` that is missing, of a wrong type or out of range.

    embeddings: shape of the token embeddings. context: number of positions.
    """
    tokens = embeddings[0]
    require(isinstance(about, dict), "model.json must be an object with the keys of a compiled model")
    for key in ("name", "residual_labels", "vocab", *SIZES):
        require(key in about, f"model.json lacks the key {key!r}")
    for key, least in SIZES.items():
        value = about[key]
        require(_whole(value, least), f"{key} in model.json is {value!r}; it must be a whole number of {least} or more")
    require(isinstance(about["name"], str), "name in model.json must be text")
    require(isinstance(about.get("causal", False), bool), "causal in model.json must be true or false")
    width = about["d_model"]
    require(
        embeddings == (tokens, width),
        f"token_embed/embeddings has shape {list(embeddings)}, but d_model in model.json is {width}",
    )
    labels = about["residual_labels"]
    require(
        isinstance(labels, list) and len(labels) == width,
        "residual_labels in model.json must be a list with one label for each of the d_model channels",
    )
    vocabulary = about["vocab"]
    require(
        isinstance(vocabulary, dict) and all(_whole(id, 0) and id < tokens for id in vocabulary.values()),
        f"vocab in model.json must map each token to an id from 0 to {tokens - 1}",
    )
    examples = about.get("examples", [])
    require(isinstance(examples, list), "examples in model.json must be a list")
    for number, example in enumerate(examples):
        _check_example(example, width, tokens, context, f"example {number} in model.json")


def _check_example(example: Any, width: int, tokens: int, context: int, source: str) -> None:
    require(isinstance(example, dict), f"{source} must be an object with the keys ids, residual and output")
    ids = example.get("ids")
    require(
        isinstance(ids, list) and 1 <= len(ids) <= context and all(_whole(id, 0) and id < tokens for id in ids),
        f"{source} needs ids: 1 to {context} whole numbers from 0 to {tokens - 1}",
    )
    if "output" not in example:
        return
    output = example["output"]
    plain = isinstance(output, list) and not any(isinstance(value, list | dict) for value in output)
    require(plain and len(output) == len(ids), f"{source} needs an output: a list with one value for each id")
    try:
        residual = np.asarray(example.get("residual"), dtype=np.float64)  # [T, D]
        right = residual.shape == (len(ids), width) and bool(np.isfinite(residual).all())
    except (TypeError, ValueError, OverflowError):
        right = False
    require(right, f"{source} needs a residual: {width} finite numbers for each of the {len(ids)} ids")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value < 1 << 63


def check_array(file: IO[bytes], size: int, name: str) -> None:
    """`UserError` unless an .npy file of `size` bytes has the numbers that its header claims, and has only numbers."""
    version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)  # type: ignore[no-untyped-call]
    claimed = file.tell() + math.prod(shape) * dtype.itemsize
    require(dtype.kind in "fiu", f"{name} holds {dtype}; the arrays of a compiled model hold real numbers")
    require(claimed == size, f"{name} has {size} bytes, but its shape {list(shape)} needs {claimed}")
