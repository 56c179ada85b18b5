"""to_hooked: TransformerLens's formulas in plain torch always, the package itself where it is installed."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.interop import transformer_lens

EXPRESSIBLE = {"vocab_size": 30, "context": 12, "n_layer": 2, "d_model": 32, "d_head": 8}
EXPRESSIBLE |= {"sink": False, "bigram_table": False, "activation_density": 1.0}
VARIANTS = [
    {},
    {"positions": "learned", "norm": "layer", "norm_eps": 1e-5, "activation": "gelu_tanh", "tied_unembedding": True},
    {"norm": "layer", "norm_bias": False, "activation": "relu"},
    {"norm": "none", "bias": False, "n_head": 3, "d_mlp": 40},
    {"logits_bias": True, "causal": False},
    {"activation_density": 0.25, "activation_places": ()},
]
TOKENS = torch.randint(30, (3, 12), generator=torch.Generator().manual_seed(1))


def random_model(options) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**(EXPRESSIBLE | options))).eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *([] if model.logits_bias is None else [model.logits_bias])]:
            tensor.add_(0.3 * torch.randn_like(tensor))
    return model


def lens_logits(settings, state, tokens):
    """TransformerLens's definition of the forward, from its weights' names and shapes."""

    def norm(x, name):
        if settings["normalization_type"] is None:
            return x
        if settings["normalization_type"] == "LN":
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.square().mean(-1, keepdim=True) + settings["eps"]).sqrt()
        return x * state[f"{name}.w"] + state.get(f"{name}.b", 0)

    act = {
        "gelu": lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2,
        "gelu_pytorch_tanh": lambda x: x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "relu": lambda x: x.clamp(min=0),
    }[settings["act_fn"]]
    x = state["embed.W_E"][tokens] + state["pos_embed.W_pos"][: tokens.shape[1]]
    for layer in range(settings["n_layers"]):
        own = {name.split(".", 2)[2]: value for name, value in state.items() if name.startswith(f"blocks.{layer}.")}
        h = norm(x, f"blocks.{layer}.ln1")
        q, k, v = (torch.einsum("btm,hmd->bthd", h, own[f"attn.W_{p}"]) + own[f"attn.b_{p}"] for p in "QKV")
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(settings["d_head"])
        if settings["attention_dir"] == "causal":
            scores = scores.masked_fill(torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1), -math.inf)
        z = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)
        x = x + torch.einsum("bqhd,hdm->bqm", z, own["attn.W_O"]) + own["attn.b_O"]
        h = act(norm(x, f"blocks.{layer}.ln2") @ own["mlp.W_in"] + own["mlp.b_in"])
        x = x + h @ own["mlp.W_out"] + own["mlp.b_out"]
    return norm(x, "ln_final") @ state["unembed.W_U"] + state["unembed.b_U"]


@pytest.mark.parametrize("options", VARIANTS)
def test_weights_mean_the_same_in_its_formulas(options):
    model = random_model(options)
    settings = transformer_lens.hooked_settings(model.config)
    logits = lens_logits(settings, transformer_lens.hooked_state(model), TOKENS)
    assert (logits - model(TOKENS)).abs().max() < 1e-4


@pytest.mark.parametrize("options", VARIANTS)
def test_the_package_itself_agrees(options):
    lens = pytest.importorskip("transformer_lens", reason="optional: pip install 'sparsegpt2[lens]'")
    model = random_model(options)
    hooked = transformer_lens.to_hooked(model)
    assert isinstance(hooked, lens.HookedTransformer)
    logits, cache = hooked.run_with_cache(TOKENS)
    ours, own_cache = model.run_with_cache(TOKENS)
    assert (logits - ours).abs().max() < 1e-4
    for name in ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out"):
        assert (cache[f"blocks.1.{name}"] - own_cache[f"blocks.1.{name}"]).abs().max() < 1e-4, name
    for name in ("attn.hook_q", "attn.hook_k", "attn.hook_v", "mlp.hook_post"):
        assert cache[f"blocks.0.{name}"].shape == own_cache[f"blocks.0.{name}"].shape
        assert (cache[f"blocks.0.{name}"] - own_cache[f"blocks.0.{name}"]).abs().max() < 1e-4, name
    if model.config.positions == "none":
        assert torch.equal(cache["hook_embed"], own_cache["hook_embed"])

    def silence(x, hook):
        x[:, :, 1] = 0
        return x

    changes = [("blocks.0.attn.hook_v", silence)]
    theirs = hooked.run_with_hooks(TOKENS, fwd_hooks=changes)
    with torch.no_grad():
        assert (theirs - model.run_with_hooks(TOKENS, fwd_hooks=changes)).abs().max() < 1e-4
    assert torch.allclose(
        hooked(TOKENS, return_type="loss"),
        F.cross_entropy(ours[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten()),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        ({"sink": True}, "attention sinks"),
        ({"activation_density": 0.25}, "AbsTopK"),
        ({"bigram_table": True}, "a bigram table"),
        ({"positions": "concat_learned", "d_pos": 4}, "concatenated positions"),
        ({"positions": "concat_sinusoidal", "d_pos": 4}, "concatenated positions"),
        ({"residual_activation": "relu"}, "an activation of the residual stream"),
    ],
)
def test_what_it_cannot_express_is_refused_by_name(options, feature):
    with pytest.raises(UserError, match=f"TransformerLens cannot express {feature}"):
        transformer_lens.to_hooked(random_model(options))
