"""GPT-2 as Hugging Face stores it (`config.json` and `model.safetensors`), from a folder or by its name on the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sparsegpt2.config import GPTConfig, from_dict, require
from sparsegpt2.errors import UserError
from sparsegpt2.files import read_json
from sparsegpt2.interop import data_gym
from sparsegpt2.locate import hub
from sparsegpt2.locate.foreign import refuse_foreign
from sparsegpt2.model.checkpoint import allocated, require_finite, unfilled_model, unshared
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.tensors import check_shapes, load_into, read_tensors, shapes_of
from sparsegpt2.text.tokenizer import Tokenizer

CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer.json"
FILES = (CONFIG, WEIGHTS, TOKENIZER, "vocab.json", "merges.txt")
"""The files of a model on the hub that are downloaded."""

SPLIT_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""Regular expression with which GPT-2 splits text before merging."""

ACTIVATIONS: dict[str, Literal["gelu", "gelu_tanh", "relu"]] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
}
FIXED = {
    "model_type": "gpt2",
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
}
"""Keys of the config that must have these values. Other values change what the model computes, and our model has no
setting for them. Keys that are not read at all, such as `reorder_and_upcast_attn` and those of dropout, change nothing
in evaluation."""

LINEAR = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
NORMS = {"ln_1": "attn.norm", "ln_2": "mlp.norm"}


def load(source: str | Path) -> GPT:
    """The GPT-2 in a folder or of that name on the hub, in evaluation mode, without node means.

    Its logits equal those of `transformers` up to rounding. `UserError` for a missing or extra tensor or one of a wrong
    shape, and for a config with features that the original GPT-2 lacks.
    """
    directory = locate(source)
    config = _config(directory)
    path = directory / WEIGHTS
    stored = read_tensors(path)
    model = unfilled_model(config, len(stored), str(path))
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in stored.items()}
    _drop_what_is_implied(tensors, config, str(path))
    check_shapes(shapes_of(_published_tensors(model)), shapes_of(tensors), str(path))
    model = allocated(model)
    load_into(_published_tensors(model), tensors, str(path))
    require_finite(unshared(model), str(path))
    return model.eval()


def load_tokenizer(source: str | Path) -> Tokenizer:
    """GPT-2's tokenizer, from the model's `vocab.json` and `merges.txt`, else from its `tokenizer.json`."""
    directory = locate(source)
    if (directory / "merges.txt").exists() or not (directory / TOKENIZER).exists():
        return data_gym.load(directory, SPLIT_PATTERN)
    path = directory / TOKENIZER
    content = read_json(path, "tokenizer")
    try:
        ids, merges = content["model"]["vocab"], content["model"]["merges"]
        kind, byte_level = content["model"]["type"], content["pre_tokenizer"]
        require(
            kind == "BPE" and byte_level["type"] == "ByteLevel" and byte_level.get("use_regex", True),
            f"tokenizer {path} is not GPT-2's; it must be a byte-level BPE with the split pattern of GPT-2",
        )
        pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"tokenizer {path} is not a byte-level BPE ({type(error).__name__}: {error})") from None
    return data_gym.from_merges(pairs, ids, SPLIT_PATTERN, str(path))


def locate(source: str | Path) -> Path:
    """The folder itself, or the folder with a downloaded copy of the model of that name on the hub."""
    if Path(source).is_dir():
        return Path(source)
    name = str(source).removeprefix(hub.PREFIX)
    if not hub.is_name(name):
        raise UserError(f"{source} is neither a folder nor a name on the hub such as openai-community/gpt2")
    _config(hub.download(name, (CONFIG,)))  # refuses a wrong model before gigabytes of weights are downloaded
    return hub.download(name, FILES)


def _config(directory: Path) -> GPTConfig:
    path = directory / CONFIG
    refuse_foreign(directory, str(directory), but="gpt2")
    given = read_json(path, "model config")
    require(isinstance(given, dict), f"{path} is not a JSON object with the keys of a model config")
    for key, value in FIXED.items():
        found = given.get(key, value)
        require(
            type(found) is type(value) and found == value,
            f"{path}: {key} is {found!r}, but only {value!r} can be imported",
        )
    activation = given.get("activation_function", "gelu_new")
    require(
        isinstance(activation, str) and activation in ACTIVATIONS,
        f"{path}: activation_function is {activation!r}; it must be one of {', '.join(ACTIVATIONS)}",
    )
    size = {key: given.get(key, default) for key, default in _SIZES.items()}
    size["n_inner"] = size["n_inner"] or 0
    for key, value in size.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and (key != "n_inner") <= value < 1 << 63
        require(whole, f"{path}: {key} is {value!r}; it must be a whole number from 1 to 2**63 - 1")
    eps = given.get("layer_norm_epsilon", 1e-5)
    require(
        isinstance(eps, int | float) and not isinstance(eps, bool) and 0 <= eps < 1,
        f"{path}: layer_norm_epsilon is {eps!r}; it must be a number from 0 to below 1",
    )
    require(
        size["n_embd"] % size["n_head"] == 0,
        f"{path}: n_embd ({size['n_embd']}) is not a multiple of n_head ({size['n_head']})",
    )
    values = {
        "vocab_size": size["vocab_size"],
        "context": size["n_positions"],
        "n_layer": size["n_layer"],
        "d_model": size["n_embd"],
        "d_head": size["n_embd"] // size["n_head"],
        "n_head": size["n_head"],
        "d_mlp": size["n_inner"] or 4 * size["n_embd"],
        "activation": ACTIVATIONS[activation],
        "norm": "layer",
        "norm_eps": eps,
        "positions": "learned",
        "sink": False,
        "bigram_table": False,
        "activation_density": 1.0,
        "tied_unembedding": given.get("tie_word_embeddings", True),
    }
    return from_dict(GPTConfig, values, str(path))


_SIZES = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": 0}
"""Sizes in the config, with their defaults; n_inner may be 0 or null, which means 4 * n_embd."""


def _drop_what_is_implied(tensors: dict[str, Tensor], config: GPTConfig, source: str) -> None:
    """Remove the causal masks of old files, and a tied unembedding.

    `UserError` if a tied unembedding differs from the embedding.
    """
    for layer in range(config.n_layer):
        for mask in ("bias", "masked_bias"):
            tensors.pop(f"h.{layer}.attn.{mask}", None)
    if config.tied_unembedding and "lm_head.weight" in tensors:
        own, unembedding = tensors.get("wte.weight"), tensors.pop("lm_head.weight")
        same = own is not None and own.dtype == unembedding.dtype and torch.equal(unembedding, own)
        require(same, f"{source}: the unembedding is tied, but lm_head.weight differs from wte.weight")


def _names(config: GPTConfig) -> Iterator[tuple[str, str]]:
    """(GPT-2's name, our name) for every tensor."""
    yield from (("wte.weight", "wte.weight"), ("wpe.weight", "wpe.weight"))
    for part in ("weight", "bias"):
        for layer in range(config.n_layer):
            for linear in LINEAR:
                yield f"h.{layer}.{linear}.{part}", f"blocks.{layer}.{linear}.{part}"
            for theirs, ours in NORMS.items():
                yield f"h.{layer}.{theirs}.{part}", f"blocks.{layer}.{ours}.{part}"
        yield f"ln_f.{part}", f"norm.{part}"
    if not config.tied_unembedding:
        yield "lm_head.weight", "unembed.weight"


def _published_tensors(model: GPT) -> dict[str, Tensor]:
    """The model's tensors by GPT-2's names, in GPT-2's orientation."""
    return {theirs: _oriented(model, ours) for theirs, ours in _names(model.config)}


def _oriented(model: GPT, name: str) -> Tensor:
    """A view of our tensor in GPT-2's orientation: GPT-2 stores linear maps as [in, out]."""
    tensor = model.get_parameter(name)
    return tensor.T if name.removesuffix(".weight").endswith(LINEAR) else tensor
