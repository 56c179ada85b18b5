"""run_with_cache and run_with_hooks: the forward's own values under our names and TransformerLens's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sparsegpt2 import GPT, GPTConfig, UserError
from sparsegpt2.model import hooks
from sparsegpt2.model.sites import Record


@pytest.fixture
def model() -> GPT:
    torch.manual_seed(0)
    made = GPT(GPTConfig(vocab_size=30, context=12, n_layer=2, d_model=32, d_head=8, n_head=3, positions="learned"))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


TOKENS = torch.randint(30, (3, 12), generator=torch.Generator().manual_seed(1))


def test_the_cache_holds_every_site_of_the_forward(model):
    record = Record()
    expected = model(TOKENS, site=record)
    logits, cache = model.run_with_cache(TOKENS)
    assert torch.equal(logits, expected)
    assert list(cache) == list(record.values) == hooks.site_names(model.config)
    assert all(torch.equal(cache[name], record.values[name]) for name in cache)
    assert not any(tensor.requires_grad for tensor in cache.values())


def test_aliases_are_the_same_activations_in_their_own_shape(model):
    _, cache = model.run_with_cache(TOKENS)
    assert cache["blocks.1.attn.hook_q"].shape == (3, 12, 3, 8)
    assert torch.equal(cache["blocks.1.attn.hook_q"].flatten(-2), cache["1.attn.q"])
    assert torch.equal(cache["q", 1], cache["blocks.1.attn.hook_q"]) and torch.equal(cache["q", -1], cache["q", 1])
    assert torch.equal(cache["post", 0], cache["0.mlp.post_act"])
    assert torch.equal(cache["resid_pre", 0], cache["embed"])
    # the residual stream adds up under its aliases
    total = cache["resid_pre", 1] + cache["attn_out", 1] + cache["mlp_out", 1]
    assert torch.allclose(total, cache["resid_post", 1], atol=1e-5)
    assert torch.equal(cache["blocks.1.hook_resid_pre"], cache["blocks.0.hook_resid_post"])


def test_hook_embed_is_an_alias_only_where_it_means_the_same(model):
    assert "hook_embed" not in hooks.aliases(model.config)
    assert hooks.aliases(GPTConfig(vocab_size=30, context=12, d_model=32))["hook_embed"] == "embed"


@pytest.mark.parametrize(
    ("chosen", "sites"),
    [
        ("0.attn.q", ["0.attn.q"]),
        ("blocks.1.mlp.hook_post", ["1.mlp.post_act"]),
        (["0.attn.q", "blocks.0.attn.hook_q", "final.act_in"], ["0.attn.q", "final.act_in"]),
        (lambda name: name.endswith("hook_v"), ["0.attn.v", "1.attn.v"]),
        (lambda name: name.endswith("act_in"), ["0.attn.act_in", "0.mlp.act_in", "1.attn.act_in", "1.mlp.act_in"]),
    ],
)
def test_a_filter_chooses(model, chosen, sites):
    _, cache = model.run_with_cache(TOKENS, names_filter=chosen)
    assert [name for name in cache if name != "final.act_in" or name in sites] == sites
    assert "embed" not in cache and cache.get("embed") is None


def test_hooks_change_what_goes_on(model):
    def halve(x, hook):
        return x / 2

    def one_head(x, hook):
        assert x.shape == (3, 12, 3, 8) and hook.layer() == 1
        x = x.clone()
        x[:, :, 1] = 0
        return x

    def site(name, x):
        if name == "0.mlp.resid_delta":
            return x / 2
        if name == "1.attn.v":
            return torch.cat([x[..., :8], torch.zeros_like(x[..., 8:16]), x[..., 16:]], dim=-1)
        return x

    changed = model.run_with_hooks(
        TOKENS, fwd_hooks=[("blocks.0.hook_mlp_out", halve), ("blocks.1.attn.hook_v", one_head)]
    )
    assert torch.equal(changed, model(TOKENS, site=site))
    assert not torch.allclose(changed, model(TOKENS))


def test_hooks_run_in_order_once_for_each_site_and_may_return_nothing(model):
    seen = []
    hooked = model.run_with_hooks(
        TOKENS,
        fwd_hooks=[
            (lambda name: "attn" in name and name.endswith(("q", "hook_q")), lambda x, hook: seen.append(hook.name)),
            ("1.attn.q", lambda x, hook: seen.append("second")),
        ],
    )
    assert seen == ["0.attn.q", "1.attn.q", "second"]
    assert torch.equal(hooked, model(TOKENS))


def test_gradients_flow_through_hooks(model):
    scale = torch.ones((), requires_grad=True)
    model.run_with_hooks(TOKENS, [("0.mlp.post_act", lambda x, hook: x * scale)], return_type="loss").backward()
    assert scale.grad is not None and scale.grad != 0


def test_return_types(model):
    logits, loss = model.run_with_hooks(TOKENS, return_type="both")
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, 1:].flatten())
    assert torch.equal(loss, expected) and torch.equal(model.run_with_cache(TOKENS, return_type="loss")[0], loss)
    assert model.run_with_cache(TOKENS, return_type=None)[0] is None


def test_remove_batch_dim(model):
    _, cache = model.run_with_cache(TOKENS[:1], remove_batch_dim=True)
    assert cache["0.attn.q"].shape == (12, 24) and cache["q", 0].shape == (12, 3, 8)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda model: model.run_with_cache(TOKENS, "0.attn.z"), "no site '0.attn.z'; there are 0.attn"),
        (lambda model: model.run_with_cache(TOKENS, ["blocks.0.attn.hook_pattern"]), "no site"),
        (lambda model: model.run_with_hooks(TOKENS, [("9.attn.q", print)]), "no site '9.attn.q'"),
        (lambda model: model.run_with_hooks(TOKENS, [("0.attn.q", lambda x, hook: x[:1])]), r"shape \[1, 12, 24\]"),
        (lambda model: model.run_with_cache(TOKENS, "0.attn.q")[1]["1.attn.q"], "the names filter left it out"),
        (lambda model: model.run_with_cache(TOKENS, remove_batch_dim=True), "one row, got 3"),
        (lambda model: model.run_with_hooks(TOKENS, return_type="logit"), "return_type is 'logit'"),
        (lambda model: hooks.HookPoint("embed").layer(), "is not in a layer"),
    ],
)
def test_mistakes_are_one_sentence(model, call, sentence):
    with pytest.raises(UserError, match=sentence):
        call(model)
