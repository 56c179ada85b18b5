"""Read and write the checkpoints published with Gao et al. 2025 (`beeg_config.json` and `final_model.pt`).

An unknown key is an error, and so is a model that the format cannot express.

Shapes: V vocabulary, D d_model, A n_head * d_head, M d_mlp, P d_pos_emb (0 without concatenated positions).

The published code (openai/circuit_sparsity on GitHub) applies AbsTopK at `attn_in` and `mlp_in` after the position
channels are concatenated, and keeps int(afrac * (D + P)) of all D + P channels; the config has the share `afrac`. This
is `GPTConfig.positions_compete`.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sparsegpt2.config import NODE_PLACES, RESIDUAL_PLACES, GPTConfig, require
from sparsegpt2.errors import UserError
from sparsegpt2.files import Kind, read_json, replacing_directory, write_json
from sparsegpt2.interop import data_gym, torch_file
from sparsegpt2.locate.foreign import refuse_foreign
from sparsegpt2.model.checkpoint import allocated, require_finite, unfilled_model, unshared
from sparsegpt2.model.gpt import GPT, sinusoids
from sparsegpt2.model.tensors import check_shapes, load_into, shapes_of
from sparsegpt2.text.tokenizer import SPLIT_PATTERN, Tokenizer

CONFIG, WEIGHTS = "beeg_config.json", "final_model.pt"
KIND = Kind(
    "a model of the published format", (CONFIG, WEIGHTS, *data_gym.NAMES[0]), CONFIG, ('"block_size"', '"d_pos_emb"')
)
"""Folders that `export` may replace."""
TOKENIZER_NAME = "tinypython_2k"
RMS_EPS, LAYER_EPS = torch.finfo(torch.float32).eps, 1e-5

SHAPE: dict[str, Any] = {
    "block_size": 1024,
    "vocab_size": 50304,
    "n_layer": 12,
    "n_head": 12,
    "d_head": None,
    "d_model": 768,
    "d_mlp": None,
    "bias": True,
    "ln_bias": True,
    "rms_norm": False,
    "residual_activation_type": "identity",
    "activation_type": "gelu",
    "afrac": None,
    "afrac_loctypes": "attn_in,attn_out,mlp_in,mlp_out",
    "tied_unembed": True,
    "enable_bigram_table": False,
    "d_pos_emb": None,
    "sinusoidal_cat_pos_emb": False,
    "sink": False,
}
"""Keys of the config that decide what the model computes, with their defaults."""

INERT: dict[str, Any] = {
    "dropout": 0.0,
    "debug_nans": False,
    "tokenizer_name": TOKENIZER_NAME,
    "grad_checkpointing": True,
    "learnable_bigram_table": False,
    "dropout_cat_pos_emb": False,
    "enable_sparse_kernels": False,
    "flash": True,
}
"""Keys that have no effect on a trained model, with their defaults. An import keeps their values (`inert_settings`),
and an export writes them back."""

LEFT_OVERS = ("pfrac", "expansion_factor", "expansion_factor_mlp", "debug_exact_topk", "sparse_matmul_impl")
"""Keys of the training script that published configs still have. Any value is accepted and dropped."""

SWITCHED_OFF = (
    "use_tied_aux_matrix",
    "bigram_table_rank",
    "unembed_rank",
    "afrac_ste",
    "afrac_ste_only_non_neurons",
    "afrac_approx",
    "rtopk",
    "mup",
    "mup_width_multiplier",
    "enable_fp8_linear",
    "scale_invariance",
)
"""Older keys for features that the published code no longer has. They must be absent, false or null, and are
dropped."""

PLACES = {
    "attn_in": "attn.act_in",
    "attn_q": "attn.q",
    "attn_k": "attn.k",
    "attn_v": "attn.v",
    "attn_out": "attn.resid_delta",
    "mlp_in": "mlp.act_in",
    "mlp_neuron": "mlp.post_act",
    "mlp_out": "mlp.resid_delta",
    "resid_post_attn": "attn.resid_post",
    "resid_post_mlp": "mlp.resid_post",
}
"""Their location names -> our places."""


# --- Reading --------------------------------------------------------------------------------------------------------


def load(directory: str | Path) -> GPT:
    """The model in `directory`, in evaluation mode, without node means.

    `UserError` for a missing or unknown key, a wrong shape, a truncated file, or a file with more than tensors.
    """
    directory = locate(directory)
    settings = _read_settings(directory)
    state = torch_file.load_state_dict(directory / WEIGHTS)
    state = {name: tensor for name, tensor in state.items() if not _is_mask(name)}
    config, source = _config(settings, state, str(directory / CONFIG)), str(directory / WEIGHTS)
    model = unfilled_model(config, len(state), source)
    shapes = shapes_of(_published_tensors(model))
    # Our model leaves out positions and bias if they are zero. In a file only the bias may be missing.
    shapes.setdefault("transformer.wpe.weight", (config.context, config.d_model))
    if "final_logits_bias" in state:
        shapes.setdefault("final_logits_bias", (config.vocab_size,))
    check_shapes(shapes, shapes_of(state), source)
    model = allocated(model)
    target = _published_tensors(model)
    load_into(target, {name: state[name] for name in target}, source)
    require_finite(unshared(model), source)
    if config.tied_unembedding and not torch.equal(state["lm_head.weight"], state["transformer.wte.weight"]):
        raise UserError(f"{directory / WEIGHTS}: tied_unembed is true, but lm_head.weight differs from wte.weight")
    return model.eval()


def locate(source: str | Path) -> Path:
    """The folder itself; `UserError` if it does not exist or holds a model in another format."""
    require(Path(source).is_dir(), f"{source} is not a folder; give a folder with {CONFIG} and {WEIGHTS}")
    if not (Path(source) / CONFIG).exists():
        refuse_foreign(Path(source), str(source))
    return Path(source)


def inert_settings(directory: str | Path) -> dict[str, Any]:
    """The keys of `INERT` with their values in the config in `directory`, for `export`."""
    settings = _read_settings(Path(directory))
    return {key: settings[key] for key in INERT}


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """The tokenizer from `vocab.bpe` and `encoder.json` in `directory`, with the published split pattern."""
    return data_gym.load(directory, SPLIT_PATTERN)


def _is_mask(name: str) -> bool:
    """Whether a tensor is a causal mask, which models saved without fused attention have."""
    return name.startswith("transformer.h.") and name.endswith(".attn.bias")


def _read_settings(directory: Path) -> dict[str, Any]:
    """The values of the keys in `SHAPE` and `INERT`; old keys are translated. `UserError` for an unknown key or a value
    of a wrong type."""
    source = directory / CONFIG
    given = read_json(source, "model config")
    require(isinstance(given, dict), f"{source} is not a JSON object with the keys of a model config")
    given = dict(given)
    if "n_mlp" in given:
        given["d_mlp"] = given.pop("n_mlp")
    if "n_embd" in given:
        width = given.pop("n_embd")
        same = width in (None, given.setdefault("d_model", width))
        require(same, f"{source}: n_embd is {width} and d_model {given['d_model']}; they must be equal")
    for key in LEFT_OVERS:
        given.pop(key, None)
    for key in SWITCHED_OFF:
        value = given.pop(key, None)
        require(not value, f"{source}: {key} is {value!r}, which sparsegpt2 cannot express; it must be false or absent")
    known = SHAPE | INERT
    for key in given:
        require(key in known, f"{source} has the unknown key {key!r}; known are {', '.join(known)}")
    settings = known | given
    for key, value in settings.items():
        _check_type(key, value, known[key], source)
    return settings


def _check_type(key: str, value: Any, default: Any, source: Path) -> None:
    wanted: type | tuple[type, ...] = type(default)
    if default is None or isinstance(default, float):  # afrac and dropout are shares, other nulls are widths
        wanted = (int, float) if key in ("afrac", "dropout") else int
        if default is None and value is None:
            return
    right = isinstance(value, wanted) and (not isinstance(value, bool) or wanted is bool)
    require(
        right, f"{source}: {key} cannot be {value!r}; an example of a valid value is {_EXAMPLE.get(key, default)!r}"
    )


_EXAMPLE = {"d_head": 16, "d_mlp": 1024, "afrac": 0.25, "d_pos_emb": 16}


def _config(settings: dict[str, Any], state: dict[str, Tensor], source: str) -> GPTConfig:
    """Our config. The weights tell whether there are positions and a bias of the logits."""
    choices = {"residual_activation_type": ("identity", "relu"), "activation_type": ("gelu", "relu")}
    for key, values in choices.items():
        require(settings[key] in values, f"{source}: {key} is {settings[key]!r}; it must be {' or '.join(values)}")
    afrac = settings["afrac"]
    require(afrac is None or 0 < afrac <= 1, f"{source}: afrac is {afrac}; it must be above 0 and at most 1, or null")
    rms, width, heads = settings["rms_norm"], settings["d_model"], settings["n_head"]
    require(heads >= 1, f"{source}: n_head is {heads}; it must be at least 1")
    d_pos = settings["d_pos_emb"] or 0
    positions = _positions(settings, state)
    bias = state.get("final_logits_bias")
    try:
        return GPTConfig(
            vocab_size=settings["vocab_size"],
            context=settings["block_size"],
            n_layer=settings["n_layer"],
            d_model=width,
            d_head=width // heads if settings["d_head"] is None else settings["d_head"],
            n_head=heads,
            d_mlp=settings["d_mlp"] or 4 * width,
            activation=settings["activation_type"],
            norm="rms" if rms else "layer",
            norm_eps=RMS_EPS if rms else LAYER_EPS,
            norm_bias=settings["ln_bias"] and not rms,
            positions=positions,
            d_pos=d_pos,
            positions_compete=bool(d_pos),
            sink=settings["sink"],
            bigram_table=settings["enable_bigram_table"],
            activation_density=1.0 if afrac is None else float(afrac),
            activation_places=_places(settings["afrac_loctypes"], source),
            bias=settings["bias"],
            tied_unembedding=settings["tied_unembed"],
            residual_activation=settings["residual_activation_type"],
            logits_bias=bias is not None and bool(bias.any()),
        )
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _places(locations: str, source: str) -> tuple[str, ...]:
    names = [name for name in locations.split(",") if name]
    for name in names:
        require(
            name in PLACES, f"{source}: afrac_loctypes has the unknown location {name!r}; known are {', '.join(PLACES)}"
        )
    chosen = {PLACES[name] for name in names}
    return tuple(place for place in NODE_PLACES + RESIDUAL_PLACES if place in chosen)


def _positions(
    settings: dict[str, Any], state: dict[str, Tensor]
) -> Literal["none", "learned", "concat_learned", "concat_sinusoidal"]:
    """The kind of positions. Added positions count as `none` if all are zero, else as `learned`.

    Concatenated positions count as `concat_sinusoidal` if the settings say so and the table equals ours, else as
    `concat_learned`.
    """
    table = state.get("transformer.wpe.weight")
    if not settings["d_pos_emb"]:
        return "none" if table is None or not bool(table.any()) else "learned"
    size = (settings["block_size"], settings["d_pos_emb"])
    if table is None or tuple(table.shape) != size or not settings["sinusoidal_cat_pos_emb"]:
        return "concat_learned"
    if torch.equal(table.float(), sinusoids(*size)):
        return "concat_sinusoidal"  # one of our models, exported before
    return "concat_learned"


def _published_tensors(model: GPT) -> dict[str, Tensor]:
    """The model's tensors by published name. Our buffer of sinusoids is exported as a table of positions."""
    named = {_published_name(name): tensor for name, tensor in model.state_dict(keep_vars=True).items()}
    if model.config.positions == "concat_sinusoidal":
        named["transformer.wpe.weight"] = model.get_buffer("sinusoids").clone()
    return named


_RENAMED = (  # (ours, theirs), applied in this order; each occurs at most once in a name
    (".attn.norm.", ".ln_1."),
    (".mlp.norm.", ".ln_2."),
    (".attn.position_norm.", ".ln_p1."),
    (".mlp.position_norm.", ".ln_p2."),
    (".attn.sink", ".attn.attn_imp.sink_logit"),
    ("unembed.", "lm_head."),
    ("logits_bias", "final_logits_bias"),
)


def _published_name(name: str) -> str:
    """`blocks.3.attn.norm.weight` -> `transformer.h.3.ln_1.weight`, and so on."""
    if name.startswith("norm."):
        return f"transformer.ln_f.{name.removeprefix('norm.')}"
    for ours, theirs in _RENAMED:
        name = name.replace(ours, theirs)
    if name.startswith("blocks."):
        return f"transformer.h.{name.removeprefix('blocks.')}"
    if name.startswith(("wte.", "wpe.")):
        return f"transformer.{name}"
    return "bigram_table" if name == "bigram" else name


# --- Writing --------------------------------------------------------------------------------------------------------


def export(
    model: GPT, directory: str | Path, *, tokenizer: Tokenizer | None = None, inert: dict[str, Any] | None = None
) -> None:
    """Write `model` as a folder that the published code loads; an earlier folder of this kind is replaced.

    tokenizer: written as `vocab.bpe` and `encoder.json`. inert: values for keys of `INERT`, such as `inert_settings` of
    the folder that the model was imported from. None: the defaults in `INERT`. `UserError` that names the feature if
    the format cannot express the model, and if `directory` has other files.
    """
    settings = _settings(model.config) | INERT | (inert or {})
    # With this key true the published code makes the bigram table a parameter, which can be trained, else a buffer.
    settings["learnable_bigram_table"] = model.config.bigram_table if inert is None else inert["learnable_bigram_table"]
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in _published_tensors(model).items()}
    config = model.config
    state.setdefault("transformer.wpe.weight", torch.zeros(config.context, config.d_model))
    state.setdefault("final_logits_bias", torch.zeros(config.vocab_size))
    files = None if tokenizer is None else data_gym.files(tokenizer)
    with replacing_directory(directory, KIND) as unfinished:
        write_json(unfinished / CONFIG, settings)
        torch.save(state, unfinished / WEIGHTS)
        for name, text in (files or {}).items():
            (unfinished / name).write_text(text, encoding="utf-8")


def _settings(config: GPTConfig) -> dict[str, Any]:
    """The keys of `SHAPE` for our config; `UserError` for a feature that they cannot express."""
    eps = {"rms": RMS_EPS, "layer": LAYER_EPS}.get(config.norm, config.norm_eps)
    active = [place for place in config.activation_places if config.activation_density < 1]
    at_input = any(place.endswith("act_in") for place in active)
    for possible, feature in (
        (config.norm != "none", "norm=none"),
        (abs(config.norm_eps - eps) <= 1e-6 * eps, f"norm_eps={config.norm_eps} (it has {eps:g})"),
        (config.activation != "gelu_tanh", "activation=gelu_tanh"),
        (config.causal, "causal=False"),
        (not (config.d_pos and at_input) or config.positions_compete, "AbsTopK without the concatenated positions"),
    ):
        require(possible, f"the published format cannot express {feature}")
    if config.d_model % config.n_head:
        warnings.warn(
            f"the published code refuses models whose d_model ({config.d_model}) is not a multiple of n_head "
            f"({config.n_head}); other readers of the format may accept them",
            stacklevel=3,
        )
    return {
        "block_size": config.context,
        "vocab_size": config.vocab_size,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "d_head": config.d_head,
        "d_model": config.d_model,
        "d_mlp": config.d_mlp,
        "bias": config.bias,
        "ln_bias": config.norm_bias,
        "rms_norm": config.norm == "rms",
        "residual_activation_type": config.residual_activation,
        "activation_type": config.activation,
        "afrac": None if config.activation_density == 1 else config.activation_density,
        "afrac_loctypes": ",".join(name for name, place in PLACES.items() if place in config.activation_places),
        "tied_unembed": config.tied_unembedding,
        "enable_bigram_table": config.bigram_table,
        "d_pos_emb": config.d_pos or None,
        "sinusoidal_cat_pos_emb": config.positions == "concat_sinusoidal",
        "sink": config.sink,
    }
