"""Models as directories: config.json, model.safetensors and, with means, node_means.safetensors. No pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from sparsegpt2.checksum import check_files, check_seal, checksums, sealed
from sparsegpt2.config import GPTConfig, from_dict, to_dict
from sparsegpt2.errors import UserError
from sparsegpt2.files import Kind, read_json, read_settled, replacing_directory, write_json
from sparsegpt2.locate import CONFIG, FILES, MEANS, WEIGHTS, model_directory
from sparsegpt2.locate.foreign import refuse_foreign
from sparsegpt2.model.compact import encode
from sparsegpt2.model.gpt import GPT, sinusoids
from sparsegpt2.model.sites import node_sites
from sparsegpt2.model.tensors import check_shapes, load_into, read_tensors, shapes_of

if TYPE_CHECKING:
    from sparsegpt2.text.tokenizer import Tokenizer

TENSORS_OF_A_LAYER = 4
"""The fewest tensors that a layer can have: its four weight matrices."""
MODEL = Kind("a model", FILES, CONFIG, ('"format"', '"model"'))
"""Folders that `save_model` may replace."""


def save_model(
    model: GPT,
    path: str | Path,
    *,
    tokenizer: Tokenizer | None = None,
    info: dict[str, Any] | None = None,
    compact: bool = False,
) -> None:
    """Write `model` as the directory `path` in one step, replacing any model that is there.

    A folder that holds anything else, or a model in another format, is a `UserError` and is not changed.

    tokenizer: saved with the weights; by default the model's own (`model.tokenizer`), if it has one. info: plain
    values about the run (losses, density, seed, ...), kept under "info" in config.json and returned by `model_info`.
    compact: leave out the zeros of the weights (model/compact.py); `load_model` returns the same model either way.
    """
    with replacing_directory(path, MODEL) as directory:
        write_model(model, directory, tokenizer=tokenizer, info=info, compact=compact)


def write_model(
    model: GPT,
    directory: Path,
    *,
    tokenizer: Tokenizer | None = None,
    info: dict[str, Any] | None = None,
    compact: bool = False,
) -> None:
    """Write the files of a model into an existing directory, with their checksums in config.json."""
    tokenizer = tokenizer or model.tokenizer
    weights = {name: value.detach().contiguous() for name, value in unshared(model).items()}
    if compact:
        stored, metadata = encode({name: value.cpu() for name, value in weights.items()})
        save_file(stored, directory / WEIGHTS, metadata)
    else:
        save_file(weights, directory / WEIGHTS)
    if model.means is not None:
        save_file({name: mean.contiguous() for name, mean in model.means.items()}, directory / MEANS)
    if tokenizer is not None:
        tokenizer.save(directory)
    written = checksums(directory, [name for name in FILES[1:] if (directory / name).exists()])
    header = {"format": 1, "model": to_dict(model.config), "info": info or {}, "files": written}
    write_json(directory / CONFIG, sealed(header))


def load_model(path: str | Path, device: str | torch.device = "cpu", *, verify: bool = True) -> GPT:
    """The model in the directory `path` (or `zoo:name`, `hf:user/name`; see `model_directory`), in evaluation mode.

    Its tokenizer is read when `model.tokenizer` is first used. `UserError` for a missing or extra tensor, a tensor of
    the wrong shape, a weight that is not finite, and a file that has changed since it was written.

    verify: compare the checksum of each file, which reads it once more. Models of earlier versions have no checksums.
    """

    def read(directory: Path) -> GPT:
        header = _header(directory)
        config = from_dict(GPTConfig, header["model"], str(directory / CONFIG))
        if verify:
            check_seal(header, directory / CONFIG)
        weights, source = read_tensors(directory / WEIGHTS), str(directory / WEIGHTS)
        model = unfilled_model(config, len(weights), source)
        check_shapes(shapes_of(unshared(model)), weights.shapes, source)
        model = allocated(model)
        model.source, model.folder = str(path), directory
        load_into(unshared(model), weights, source)
        if (directory / MEANS).exists():
            stored, source = read_tensors(directory / MEANS), str(directory / MEANS)
            check_shapes({name: (width,) for name, width in node_sites(config).items()}, stored.shapes, source)
            means = {name: torch.zeros(width) for name, width in node_sites(config).items()}
            load_into(means, stored, source)
            model.means = {name: mean.to(device) for name, mean in means.items()}
        if verify:
            check_files(directory, header.get("files"), directory / CONFIG)
        require_finite(unshared(model) | (model.means or {}), str(directory))
        return model

    return read_settled(model_directory(path), read).to(device).eval()


def require_finite(tensors: dict[str, Tensor], source: str) -> None:
    """`UserError` that names the first of `tensors` that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise UserError(f"{source}: {name} holds NaN or infinite numbers; the model cannot be used")


def model_info(path: str | Path) -> dict[str, Any]:
    """The `info` that `save_model` was given: held-out loss, L0, seed and so on."""

    def read(directory: Path) -> dict[str, Any]:
        header = _header(directory)
        check_seal(header, directory / CONFIG)
        info: dict[str, Any] = header.get("info", {})
        return info

    return read_settled(model_directory(path), read)


def model_fingerprint(model: GPT, tokenizer: Any) -> str:
    """16 hex digits that identify what circuits depend on: a model's config, weights, means and tokenizer."""
    digest = hashlib.sha256(json.dumps([to_dict(model.config), tokenizer.fingerprint], sort_keys=True).encode())
    for name, tensor in sorted({**unshared(model), **(model.means or {})}.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def unshared(model: GPT) -> dict[str, Tensor]:
    """Parameters and buffers by name, without a tied unembedding, which is the embedding."""
    state = dict(model.state_dict(keep_vars=True))
    if model.config.tied_unembedding:
        del state["unembed.weight"]
    return state


def unfilled_model(config: GPTConfig, names: int, source: str) -> GPT:
    """A model whose tensors have shapes but no values (on torch's meta device), to compare the shapes with a file's.

    `allocated` turns it into a model in RAM. names: how many tensors the file has. `UserError` for a config that needs
    more tensors than that, or tensors larger than any machine could hold.
    """
    if config.n_layer * TENSORS_OF_A_LAYER > names:
        raise UserError(
            f"{source} has {names:,} tensors, too few for the {config.n_layer:,} layers (n_layer) of its config"
        )
    try:
        with torch.device("meta"):
            return GPT(config)
    except (RuntimeError, TypeError, OverflowError):  # torch cannot even count the entries
        sizes = {name: value for name, value in to_dict(config).items() if type(value) is int}
        largest = max(sizes, key=sizes.__getitem__)
        raise UserError(
            f"the config of {source} is damaged: its {largest} is {sizes[largest]:,}, too large for any machine"
        ) from None


def allocated(model: GPT) -> GPT:
    """A model from `unfilled_model` in RAM, every tensor of it still to be filled with values from a file."""
    for module in model.modules():  # the same as `to_empty`, which would import much of torch
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(torch.empty(parameter.shape, device="cpu")))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, device="cpu"))
    if model.config.tied_unembedding:
        model.unembed.weight = model.wte.weight
    if model.config.positions == "concat_sinusoidal":  # computed, not stored
        model.sinusoids = sinusoids(model.config.context, model.config.d_pos)
    return model


def _header(directory: Path) -> dict[str, Any]:
    refuse_foreign(directory, str(directory))
    header = read_json(directory / CONFIG, "model config")
    if (
        not isinstance(header, dict)
        or header.get("format") != 1
        or "model" not in header
        or not isinstance(header.get("info", {}), dict)
    ):
        raise UserError(f"{directory / CONFIG} is not a model config of format 1 with the keys format, model and info")
    return header
