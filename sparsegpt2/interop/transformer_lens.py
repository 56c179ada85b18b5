"""Our models as a HookedTransformer of TransformerLens (version 3; version 4 no longer has it).

Shapes: T context, D d_model, H heads, d head width, A = H * d, M d_mlp, V vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sparsegpt2.config import GPTConfig
from sparsegpt2.errors import UserError
from sparsegpt2.model.gpt import GPT
from sparsegpt2.model.layers import Attention, Norm

if TYPE_CHECKING:
    from transformer_lens import HookedTransformer

ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh", "relu": "relu"}
NORMS = {"rms": "RMS", "layer": "LN", "none": None}


def to_hooked(model: GPT) -> HookedTransformer:
    """The same model as a HookedTransformer, in evaluation mode on the CPU; its logits agree up to rounding.

    `UserError` that names the feature for a model that TransformerLens cannot express: one with a sink, AbsTopK, a
    bigram table, concatenated positions or a residual activation. `UserError` if TransformerLens is not installed.
    """
    refuse_what_it_lacks(model.config)
    try:
        from transformer_lens import HookedTransformer, HookedTransformerConfig
    except ImportError:
        raise UserError("to_hooked needs TransformerLens, version 3: pip install 'transformer_lens<4'") from None
    hooked = HookedTransformer(HookedTransformerConfig(**hooked_settings(model.config)))
    own = {name: tensor for name, tensor in hooked.state_dict().items() if name.endswith((".mask", ".IGNORE"))}
    hooked.load_state_dict({**hooked_state(model), **own}, strict=True)
    return hooked.eval()


def refuse_what_it_lacks(config: GPTConfig) -> None:
    """`UserError` that names the first feature of `config` that TransformerLens lacks."""
    for feature, present in (
        ("attention sinks (sink=True)", config.sink),
        ("AbsTopK (activation_density < 1)", config.activation_density < 1 and bool(config.activation_places)),
        ("a bigram table (bigram_table=True)", config.bigram_table),
        (f"concatenated positions (positions={config.positions})", bool(config.d_pos)),
        ("an activation of the residual stream (residual_activation=relu)", config.residual_activation == "relu"),
    ):
        if present:
            raise UserError(
                f"TransformerLens cannot express {feature}; use run_with_cache and run_with_hooks of the model itself"
            )


def hooked_settings(config: GPTConfig) -> dict[str, Any]:
    """Keyword arguments of HookedTransformerConfig.

    TransformerLens always adds positions, so a model without them gets positions of zero (`hooked_state`).
    """
    return {
        "n_layers": config.n_layer,
        "d_model": config.d_model,
        "n_ctx": config.context,
        "d_head": config.d_head,
        "n_heads": config.n_head,
        "d_mlp": config.d_mlp,
        "d_vocab": config.vocab_size,
        "act_fn": ACTIVATIONS[config.activation],
        "normalization_type": NORMS[config.norm],
        "eps": config.norm_eps,
        "attention_dir": "causal" if config.causal else "bidirectional",
        "device": "cpu",
        "default_prepend_bos": False,
        "seed": 0,
    }


@torch.no_grad()
def hooked_state(model: GPT) -> dict[str, Tensor]:
    """The model's tensors with the names and shapes of TransformerLens.

    Biases and positions that the model lacks are 0. Shapes: W_Q, W_K, W_V [H, D, d]; W_O [H, d, D]; W_in [D, M];
    W_out [M, D]; W_E [V, D]; W_pos [T, D]; W_U [D, V].
    """
    config = model.config
    positions = model.wpe.weight if config.positions == "learned" else torch.zeros(config.context, config.d_model)
    bias = model.logits_bias if model.logits_bias is not None else torch.zeros(config.vocab_size)
    state = {
        "embed.W_E": model.wte.weight,
        "pos_embed.W_pos": positions,
        "unembed.W_U": model.unembed.weight.T,
        "unembed.b_U": bias,
        **_norm("ln_final", model.norm),
    }
    for layer, block in enumerate(model.layers):
        name, mlp = f"blocks.{layer}", block.mlp
        state |= _norm(f"{name}.ln1", block.attn.norm) | _norm(f"{name}.ln2", mlp.norm)
        state |= {f"{name}.attn.{part}": tensor for part, tensor in _attention(block.attn).items()}
        state |= {
            f"{name}.mlp.W_in": mlp.c_fc.weight.T,
            f"{name}.mlp.b_in": _bias(mlp.c_fc),
            f"{name}.mlp.W_out": mlp.c_proj.weight.T,
            f"{name}.mlp.b_out": _bias(mlp.c_proj),
        }
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _attention(attention: Attention) -> dict[str, Tensor]:
    shape = (attention.n_head, attention.d_head)
    tensors = {}
    weights, biases = attention.c_attn.weight.chunk(3), _bias(attention.c_attn).chunk(3)
    for part, weight, bias in zip("QKV", weights, biases, strict=True):
        tensors[f"W_{part}"] = weight.unflatten(0, shape).transpose(1, 2)  # [A, D] -> [H, D, d]
        tensors[f"b_{part}"] = bias.unflatten(0, shape)
    tensors["W_O"] = attention.c_proj.weight.T.unflatten(0, shape)  # [A, D] -> [H, d, D]
    return tensors | {"b_O": _bias(attention.c_proj)}


def _norm(name: str, norm: Norm) -> dict[str, Tensor]:
    if norm.kind == "none":
        return {}
    tensors: dict[str, Tensor] = {f"{name}.w": norm.weight}
    if norm.kind == "layer":
        tensors[f"{name}.b"] = torch.zeros_like(norm.weight) if norm.bias is None else norm.bias
    return tensors


def _bias(linear: torch.nn.Linear) -> Tensor:
    return torch.zeros(linear.out_features) if linear.bias is None else linear.bias
