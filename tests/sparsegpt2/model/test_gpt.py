"""The forward pass: a model solved by hand, causality, every option, sites, starting and stopping midway."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.kernels.abs_topk import abs_topk_mask
from sparsegpt2.model.sites import Chain, Record, node_sites

SMALL = {"vocab_size": 30, "context": 12, "n_layer": 2, "d_model": 32, "d_head": 8}
VARIANTS = [
    {},
    {"activation_density": 1},
    {"sink": False, "bigram_table": False, "bias": False},
    {"positions": "learned", "norm": "layer", "activation": "relu"},
    {"positions": "concat_learned", "d_pos": 6, "activation": "gelu_tanh"},
    {"positions": "concat_sinusoidal", "d_pos": 5, "norm": "none", "tied_unembedding": True},
    {"residual_activation": "relu", "activation_places": ("attn.resid_post", "mlp.resid_post", "attn.q")},
    {"n_head": 3, "d_mlp": 40},
    {"positions": "concat_learned", "d_pos": 6, "positions_compete": True},
    {"norm": "layer", "norm_bias": False, "logits_bias": True},
]


def random_model(**options) -> GPT:
    torch.manual_seed(0)
    model = GPT(GPTConfig(**(SMALL | options)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def tokens(rows: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(30, (rows, length), generator=torch.Generator().manual_seed(1))


def test_solved_by_hand():
    """Two tokens, two channels, one head, one neuron: logits computed with pencil and paper."""
    config = GPTConfig(
        vocab_size=2,
        context=2,
        n_layer=1,
        d_model=2,
        d_head=1,
        n_head=1,
        d_mlp=1,
        activation="relu",
        norm="none",
        sink=True,
        activation_density=1,
    )
    model = GPT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.wte.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        attention, mlp = model.layers[0].attn, model.layers[0].mlp
        attention.c_attn.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))  # q, k, v
        attention.sink.fill_(math.log(2))
        attention.c_proj.weight.copy_(torch.tensor([[0.0], [1.0]]))
        mlp.c_fc.weight.copy_(torch.tensor([[-1.0, 1.0]]))
        mlp.c_fc.bias.fill_(0.5)
        mlp.c_proj.weight.copy_(torch.tensor([[2.0], [0.0]]))
        model.unembed.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        model.bigram.copy_(torch.tensor([[10.0, 20.0], [30.0, 40.0]]))
    # position 0, token 0: stream (1, 0), q=1 k=0 v=1, score 0: weight 1 / (1 + 2); attention adds 1/3 to channel 1;
    # neuron relu(-1 + 1/3 + 1/2) = 0
    first = [10 + 1, 20 + 1 / 3]
    # position 1, token 1: stream (0, 2), q=0, scores 0: weights 1/4 each, v = 1 and 2: adds 3/4 to channel 1;
    # neuron relu(2.75 + 0.5) = 3.25 adds 6.5 to channel 0
    second = [30 + 6.5, 40 + 2.75]
    assert torch.allclose(model(torch.tensor([[0, 1]]))[0], torch.tensor([first, second]))


@pytest.mark.parametrize("options", VARIANTS)
def test_the_future_changes_nothing(options):
    model = random_model(**options)
    original, changed = tokens(), tokens()
    changed[:, 7:] = (changed[:, 7:] + 1) % 30
    before, after = model(original), model(changed)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_non_causal_sees_the_future():
    model = random_model(causal=False)
    changed = tokens()
    changed[:, -1] = (changed[:, -1] + 1) % 30
    assert not torch.allclose(model(tokens())[:, 0], model(changed)[:, 0])


@pytest.mark.parametrize("options", VARIANTS)
def test_loss_equals_cross_entropy_of_the_logits(options):
    model = random_model(**options)
    x = tokens(length=13 - 1)
    targets = x.roll(-1, dims=1)
    assert torch.allclose(model.loss(x, targets), F.cross_entropy(model(x).flatten(0, 1), targets.flatten()), atol=1e-5)


@pytest.mark.parametrize("options", VARIANTS)
def test_bfloat16_agrees_within_its_precision(options):
    # AbsTopK off: near a tie the two precisions may keep different channels
    model = random_model(**(options | {"activation_density": 1}))
    exact = model(tokens())
    model.compute_dtype = torch.bfloat16
    assert model(tokens()).dtype == torch.bfloat16
    assert (model(tokens()).float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_position_gives_the_same_logits():
    model = random_model()
    position = torch.tensor([3, 11, 0])
    assert torch.allclose(model(tokens(), position=position), model(tokens())[torch.arange(3), position], atol=1e-5)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("options", VARIANTS)
def test_the_last_layer_at_one_position_gives_the_same_logits_and_gradients(options, causal):
    model = random_model(**(options | {"causal": causal}))
    position = torch.tensor([3, 11, 0])
    results = []
    for position_only in (False, True):
        model.zero_grad()
        logits = model(tokens(), position=position, position_only=position_only)
        logits.square().sum().backward()
        results.append((logits.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]))
    (whole, gradients), (spared, spared_gradients) = results
    for one, other in zip([spared, *spared_gradients], [whole, *gradients], strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


def test_position_only_spares_the_rest_of_the_last_layer():
    model, record = random_model(), Record()
    model(tokens(), site=record, position=torch.tensor([3, 11, 0]), position_only=True)
    lengths = {name: x.shape[1] for name, x in record.values.items() if x.ndim == 3}
    everywhere = {"1.attn.act_in", "1.attn.k", "1.attn.v"}
    assert {name for name, length in lengths.items() if name.startswith("1.") and length == 12} == everywhere
    assert all(length == 12 for name, length in lengths.items() if name.startswith("0."))


def test_run_can_start_and_stop_midway():
    model = random_model()
    x = model.embed(tokens())
    halfway = model.run(x, stop=2)
    assert torch.equal(model.logits(model.run(halfway, start=2), tokens()), model(tokens()))


def test_sites_are_the_documented_ones_with_abs_topk_applied():
    model = random_model()
    record = Record()
    model(tokens(), site=record)
    expected = node_sites(model.config)
    assert [name for name in record.values if name in expected] == list(expected)
    assert set(record.values) - set(expected) == {
        "embed", "final.act_in", "0.attn.resid_post", "0.mlp.resid_post", "1.attn.resid_post", "1.mlp.resid_post",
    }  # fmt: skip
    for name, width in expected.items():
        value = record.values[name]
        assert value.shape == (3, 12, width)
        assert (value != 0).sum(-1).max() <= width // 4
    normed = model.layers[0].attn.norm(record.values["embed"])
    assert torch.equal(record.values["0.attn.act_in"], normed * abs_topk_mask(normed, 8))


def test_a_site_changes_what_goes_on():
    model = random_model()

    def silence(name, x):
        return torch.zeros_like(x) if name == "1.mlp.resid_delta" else x

    record = Record(["1.attn.resid_post", "1.mlp.resid_post"])
    model(tokens(), site=Chain(silence, record))
    assert torch.equal(record.values["1.attn.resid_post"], record.values["1.mlp.resid_post"])


def test_no_site_at_all_is_the_same_forward():
    model = random_model()
    assert torch.equal(model(tokens()), model(tokens(), site=lambda name, x: x))


def test_initialisation_follows_its_scales():
    torch.manual_seed(0)
    model = GPT(GPTConfig(d_model=256, vocab_size=2048, n_layer=8))
    block = model.layers[3]
    assert model.wte.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_fc.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.c_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.attn.c_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.attn.norm.weight.unique().tolist() == [1.0]
    assert not any(p.any() for p in (block.mlp.c_fc.bias, block.attn.sink, model.bigram))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"d_model": 0}, "d_model"), ({"activation_density": 0}, "activation_density"), ({"d_pos": 3}, "d_pos"),
        ({"positions": "concat_learned"}, "d_pos"), ({"activation_places": ("mlp.q",)}, "mlp.q"),
        ({"d_model": 2, "d_head": 1, "activation_density": 0.25}, "keeps no channel"),
    ],
)  # fmt: skip
def test_wrong_configs(options, word):
    with pytest.raises(UserError, match=word):
        GPTConfig(**(SMALL | options))


def test_too_long_a_sequence():
    with pytest.raises(UserError, match="context of 12"):
        random_model()(torch.zeros(1, 13, dtype=torch.long))
