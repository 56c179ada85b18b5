"""Published weight-sparse checkpoints: every variant against the formulas, strictness, bit-exact round trips."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.interop import openai

LOCATIONS = sorted(openai.PLACES)
EVERYWHERE = ",".join(LOCATIONS)
SPARSE_BUT_RESIDUAL = "attn_in,attn_out,mlp_in,mlp_out,mlp_neuron,attn_q,attn_k,attn_v"

VARIANTS = {
    "defaults": {},
    "as_in_the_paper": {
        "rms_norm": True,
        "sink": True,
        "enable_bigram_table": True,
        "tied_unembed": False,
        "d_head": 4,
        "afrac": 0.25,
        "afrac_loctypes": SPARSE_BUT_RESIDUAL,
    },
    **{f"only_{place}": {"rms_norm": True, "afrac": 0.25, "afrac_loctypes": place} for place in LOCATIONS},
    **{f"fraction_{k}": {"sink": True, "afrac": 1 / k, "afrac_loctypes": EVERYWHERE} for k in (1, 2, 3, 4, 8, 16)},
    "odd_fraction": {"rms_norm": True, "d_model": 20, "afrac": 0.3, "afrac_loctypes": EVERYWHERE},
    "default_locations": {"afrac": 0.5},
    "no_locations": {"afrac": 0.5, "afrac_loctypes": ""},
    "sink": {"sink": True},
    "bigram": {"enable_bigram_table": True, "learnable_bigram_table": True},
    "concatenated": {"d_pos_emb": 6, "rms_norm": True},
    "concatenated_layer_norm": {"d_pos_emb": 5, "tied_unembed": False},
    "concatenated_and_sparse": {"d_pos_emb": 6, "rms_norm": True, "afrac": 0.25, "afrac_loctypes": EVERYWHERE},
    "sinusoidal": {"d_pos_emb": 6, "sinusoidal_cat_pos_emb": True, "rms_norm": True},
    "residual_relu": {"residual_activation_type": "relu", "activation_type": "relu", "rms_norm": True},
    "residual_relu_sparse": {"residual_activation_type": "relu", "afrac": 0.5, "afrac_loctypes": EVERYWHERE},
    "relu": {"activation_type": "relu"},
    "no_biases": {"bias": False, "ln_bias": False},
    "no_linear_biases": {"bias": False},
    "untied": {"tied_unembed": False},
    "narrow_heads": {"d_head": 2, "n_head": 4, "sink": True},
    "wide_heads": {"d_head": 8, "n_head": 4},
    "narrow_mlp": {"d_mlp": 12},
}


def tokens(settings) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(settings["vocab_size"], (3, settings["block_size"]), generator=generator)


def agrees(published, directory, settings, state) -> GPT:
    model = openai.load(published.write(directory, settings, state))
    x = tokens(settings)
    with torch.no_grad():
        assert (model(x) - published.logits(settings, state, x)).abs().max() < 1e-4
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_the_formulas(published, tmp_path, name):
    settings = published.small | VARIANTS[name]
    agrees(published, tmp_path, settings, published.random_state(settings))


@pytest.mark.parametrize("name", VARIANTS)
def test_round_trip_is_bit_exact(published, tmp_path, name):
    settings = published.small | VARIANTS[name]
    state = published.random_state(settings)
    source = published.write(tmp_path / "theirs", settings, state)
    model = openai.load(source)
    openai.export(model, tmp_path / "back", inert=openai.inert_settings(source))
    back = torch.load(tmp_path / "back" / "final_model.pt", weights_only=True)
    assert set(back) == set(state)
    assert all(torch.equal(back[key], state[key]) and back[key].dtype == torch.float32 for key in state)
    written = json.loads((tmp_path / "back" / "beeg_config.json").read_text())
    nulls = {"d_head": settings.get("d_head") or settings["d_model"] // settings["n_head"]}
    nulls["d_mlp"] = settings.get("d_mlp") or 4 * settings["d_model"]
    expected = openai.SHAPE | openai.INERT | settings | nulls
    for values in (written, expected):  # sets of places; a fraction of 1 is none
        values["afrac_loctypes"] = set(values["afrac_loctypes"].split(",")) - {""}
        values["afrac"] = None if values["afrac"] == 1 else values["afrac"]
    if settings.get("rms_norm"):
        written["ln_bias"] = expected["ln_bias"]  # RMSNorm has no bias, whatever the key says
    # without kept positions the flag says nothing about the weights, which are read as they are stored
    written["sinusoidal_cat_pos_emb"] = expected["sinusoidal_cat_pos_emb"]
    assert written == expected
    again = openai.load(tmp_path / "back")
    assert again.config == model.config
    x = tokens(settings)
    assert torch.equal(again(x), model(x))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"positions": "learned", "norm": "layer", "norm_eps": 1e-5, "sink": False},
        {"positions": "concat_sinusoidal", "d_pos": 5, "positions_compete": True},
        {"positions": "concat_learned", "d_pos": 5, "activation_density": 1},
        {"tied_unembedding": True, "activation": "relu", "bias": False},
        {"logits_bias": True},
    ],
)
def test_ours_go_out_and_come_back(tmp_path, options):
    torch.manual_seed(0)
    model = GPT(GPTConfig(**({"vocab_size": 40, "context": 12, "d_model": 32} | options))).eval()
    with torch.no_grad():
        for tensor in [*model.parameters(), *([] if model.logits_bias is None else [model.logits_bias])]:
            tensor.add_(torch.randn_like(tensor))
    openai.export(model, tmp_path / "out")
    back = openai.load(tmp_path / "out")
    x = torch.randint(40, (2, 12))
    assert torch.equal(back(x), model(x))
    assert {name: value.tolist() for name, value in back.state_dict().items()} == {
        name: value.tolist() for name, value in model.state_dict().items()
    }


def test_zero_positions_are_none_and_come_back_as_zeros(published, tmp_path):
    settings = published.small | {"rms_norm": True}
    state = published.random_state(settings, zero_positions=True)
    model = agrees(published, tmp_path / "in", settings, state)
    assert model.config.positions == "none"
    openai.export(model, tmp_path / "out")
    assert not torch.load(tmp_path / "out" / "final_model.pt", weights_only=True)["transformer.wpe.weight"].any()


def test_a_bias_of_the_logits_is_added(published, tmp_path):
    settings = dict(published.small)
    state = published.random_state(settings)
    state["final_logits_bias"] = torch.randn(settings["vocab_size"])
    model = agrees(published, tmp_path, settings, state)
    x = tokens(settings)
    expected = torch.nn.functional.cross_entropy(model(x).flatten(0, 1), x.flatten())
    assert torch.allclose(model.loss(x, x), expected, atol=1e-5)


def test_an_absent_bias_of_the_logits_is_zero(published, tmp_path):
    settings = dict(published.small)
    state = published.random_state(settings)
    del state["final_logits_bias"]
    assert agrees(published, tmp_path, settings, state).config.logits_bias is False


def test_legacy_keys_mean_the_new_ones(published, tmp_path):
    settings = published.small | {"d_mlp": 24}
    state = published.random_state(settings)
    legacy = {key: value for key, value in settings.items() if key != "d_mlp"}
    legacy |= {"n_mlp": 24, "use_tied_aux_matrix": False, "bigram_table_rank": None, "pfrac": 0.03, "n_embd": 16}
    model = openai.load(published.write(tmp_path, legacy, state))
    assert model.config.d_mlp == 24 and not model.config.sink
    x = tokens(settings)
    assert (model(x) - published.logits(settings, state, x)).abs().max() < 1e-4


def test_a_causal_mask_is_ignored(published, tmp_path):
    settings = published.small | {"flash": False}
    state = published.random_state(settings)
    for layer in range(settings["n_layer"]):
        state[f"transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 10, 10).tril()
    agrees(published, tmp_path, settings, state)


# --- Bad input ------------------------------------------------------------------------------------------------------


class Malicious:
    """Pickled, it runs a command when read."""

    def __init__(self, mark) -> None:
        self.mark = str(mark)

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.mark}",)


def drop(key):
    return lambda settings, state: state.pop(key)


DAMAGES = {
    "missing": (drop("transformer.h.1.attn.c_proj.bias"), "lacks the tensor 'transformer.h.1.attn.c_proj.bias'"),
    "missing_positions": (drop("transformer.wpe.weight"), "lacks the tensor 'transformer.wpe.weight'"),
    "extra": (lambda settings, state: state.update(surprise=torch.ones(2)), "unexpected tensor 'surprise'"),
    "sink_without_key": (
        lambda settings, state: state.update({"transformer.h.0.attn.attn_imp.sink_logit": torch.ones(4)}),
        "unexpected tensor 'transformer.h.0.attn.attn_imp.sink_logit'",
    ),
    "shape": (
        lambda settings, state: state.update({"transformer.wte.weight": torch.ones(3, 3)}),
        r"transformer.wte.weight has shape \[3, 3\], but the config needs \[40, 16\]",
    ),
    "position_shape": (
        lambda settings, state: state.update({"transformer.wpe.weight": torch.ones(3, 16)}),
        r"wpe.weight has shape \[3, 16\], but the config needs \[10, 16\]",
    ),
    "bias_shape": (
        lambda settings, state: state.update({"final_logits_bias": torch.ones(3)}),
        r"final_logits_bias has shape \[3\], but the config needs \[40\]",
    ),
    "integers": (
        lambda settings, state: state.update({"transformer.wte.weight": torch.ones(40, 16, dtype=torch.int64)}),
        "transformer.wte.weight is of dtype int64; it must hold plain floating-point numbers",
    ),
    "sparse": (
        lambda settings, state: state.update({"lm_head.weight": torch.ones(40, 16).to_sparse()}),
        "lm_head.weight is sparse, quantized or without values .dtype float32.",
    ),
    "not_tied": (lambda settings, state: state.update({"lm_head.weight": torch.ones(40, 16)}), "tied_unembed is true"),
    "key": (lambda settings, state: settings.update(d_modl=3), "unknown key 'd_modl'"),
    "location": (lambda settings, state: settings.update(afrac_loctypes="attn_in,brain"), "unknown location 'brain'"),
    "fraction": (lambda settings, state: settings.update(afrac=1.5), "afrac is 1.5"),
    "too_small": (lambda settings, state: settings.update(afrac=0.01), "keeps no channel"),
    "type": (lambda settings, state: settings.update(n_layer="two"), "n_layer cannot be 'two'"),
    "boolean": (lambda settings, state: settings.update(n_head=True), "n_head cannot be True"),
    "activation": (lambda settings, state: settings.update(activation_type="swish"), "activation_type is 'swish'"),
    "residual": (lambda settings, state: settings.update(residual_activation_type="tanh"), "activation_type is 'tanh'"),
    "aux_matrix": (lambda settings, state: settings.update(use_tied_aux_matrix=True), "use_tied_aux_matrix is True"),
    "no_heads": (lambda settings, state: settings.update(n_head=0), "n_head is 0"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_one_sentence_and_status_2(published, tmp_path, command, name):
    damage, sentence = DAMAGES[name]
    settings = dict(published.small)
    state = published.random_state(settings)
    damage(settings, state)
    source = published.write(tmp_path / "bad", settings, state)
    with pytest.raises(UserError, match=sentence):
        openai.load(source)
    status, _, err = command("import", "openai", source, "--out", tmp_path / "model")
    assert status == 2 and err.startswith("sparsegpt2: error: ") and err.count("\n") == 1
    assert not (tmp_path / "model").exists()


def cut(path):
    path.write_bytes(path.read_bytes()[:-500])


def cut_early(path):
    path.write_bytes(path.read_bytes()[:100])


FILES = {
    "truncated": (cut, "damaged or truncated"),
    "truncated_early": (cut_early, "damaged or truncated"),
    "empty": (lambda path: path.write_bytes(b""), "damaged or truncated"),
    "text": (lambda path: path.write_text("hello"), "damaged or truncated"),
    "missing": (lambda path: path.unlink(), "does not exist"),
    "a_list": (lambda path: torch.save([torch.ones(1)], path), "not a state dict"),
    "numbers": (lambda path: torch.save({"transformer.wte.weight": 3}, path), "not a state dict"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_one_sentence(published, tmp_path, command, name):
    damage, sentence = FILES[name]
    source = published.write(tmp_path / "bad", published.small, published.random_state(published.small))
    damage(source / "final_model.pt")
    status, _, err = command("import", "openai", source, "--out", tmp_path / "model")
    assert status == 2 and sentence in err and err.startswith("sparsegpt2: error: ") and err.count("\n") == 1


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_malicious_file_is_refused_and_nothing_runs(published, tmp_path, command, save):
    source = published.write(tmp_path / "bad", published.small, published.random_state(published.small))
    save({"transformer.wte.weight": Malicious(tmp_path / "ran")}, source / "final_model.pt")
    status, _, err = command("import", "openai", source, "--out", tmp_path / "model")
    assert status == 2 and "no code was run" in err and err.count("\n") == 1
    assert not (tmp_path / "ran").exists()
    torch.load(source / "final_model.pt", weights_only=False) if save is torch.save else pickle.loads(
        (source / "final_model.pt").read_bytes()
    )
    assert (tmp_path / "ran").exists(), "the file is harmless, so refusing it shows nothing"


@pytest.mark.parametrize(
    ("options", "feature"),
    [
        ({"norm": "none"}, "norm=none"),
        ({"norm_eps": 1e-3}, "norm_eps=0.001"),
        ({"activation": "gelu_tanh"}, "activation=gelu_tanh"),
        ({"causal": False}, "causal=False"),
        ({"positions": "concat_learned", "d_pos": 4}, "AbsTopK without the concatenated positions"),
    ],
)
def test_what_the_format_cannot_say_is_named(tmp_path, options, feature):
    model = GPT(GPTConfig(**({"vocab_size": 40, "context": 12, "d_model": 32} | options)))
    with pytest.raises(UserError, match=feature):
        openai.export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_width_that_the_published_code_refuses_is_warned_of(tmp_path):
    model = GPT(GPTConfig(vocab_size=40, context=12, d_model=20, n_head=3, d_head=6, d_mlp=16))
    with pytest.warns(UserWarning, match="not a multiple of n_head"):
        openai.export(model, tmp_path / "out")
    assert openai.load(tmp_path / "out").config.n_head == 3
